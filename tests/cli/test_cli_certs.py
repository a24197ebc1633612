"""``ocppj certs``: what it writes and prints."""

import json
import os
import re
import stat
from pathlib import Path

import pytest

from ocppj import Client, HandshakeRefused, Server, UsageError, client_tls_context, server_tls_context, v16
from ocppj.cli.main import main
from ocppj.testing.pki_folder import find_ca, find_station, write_pki
from tests.cli.commands import ROOT, ocppj

pytest.importorskip("trustme")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_files_let_a_station_connect_with_its_certificate(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "pki"
    ran = ocppj("certs", folder, "--station", "CP_1", "--station", "CP_2")
    assert ran.code == 0, ran.err
    assert f"written to {folder}" in ran.out
    assert "station-2.pem  CP_2" in ran.out
    assert f"ocppj serve --port 9000 --tls {folder}" in ran.out
    assert f"ocppj simulate wss://localhost:9000 --id CP_1 --tls {folder} --cert {folder}" in ran.out
    if os.name == "posix":
        assert {mode(path) for path in [folder / "server.pem", *folder.glob("station-*.pem")]} == {0o600}

    context = server_tls_context(folder / "server.pem", client_ca=folder / "ca.pem", require_client_certificate=True)
    server = Server(profiles=v16.PROFILES, ssl_context=context, security_profile=3)
    with server.listen(port=0):
        for identity, of, is_let_in in (("CP_2", "CP_2", True), ("CP_1", "CP_2", False)):
            own = client_tls_context(find_ca(folder), find_station(folder, of))
            client = Client(identity, profiles=v16.PROFILES, ssl_context=own, reconnect=False)
            if is_let_in:
                client.connect(server.url).stop()
            else:
                with pytest.raises(HandshakeRefused):
                    client.connect(server.url)


def test_nothing_is_replaced_by_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pki(tmp_path, stations=["CP_1", "CP_2"])
    before = (tmp_path / "ca.pem").read_bytes()
    assert main(["certs", str(tmp_path)]) == 2
    printed = capsys.readouterr().err
    assert "has ca.pem, server.pem, stations.json already. Choose another folder, or say --replace" in printed
    assert (tmp_path / "ca.pem").read_bytes() == before
    assert main(["certs", str(tmp_path), "--replace", "--host", "csms.example", "--host", "::1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (tmp_path / "ca.pem").read_bytes() != before
    assert told["stations"] == {}
    assert told["server"] == str(tmp_path / "server.pem")
    assert "simulate wss://csms.example:9000 --tls" in told["commands"][1]
    assert not list(tmp_path.glob("station-*"))


def test_files_of_others_in_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", "utf-8")
    write_pki(tmp_path, stations=["/Straße 7"])
    write_pki(tmp_path, replace=True)
    assert (tmp_path / "notes.txt").read_text("utf-8") == "mine"


def test_wrong_usage_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certs", str(tmp_path), "--station", "x" * 65]) == 2
    assert "1 to 64 characters" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    write_pki(tmp_path, stations=["CP_1"])
    with pytest.raises(UsageError, match="no certificate of CP_2: it has those of CP_1"):
        find_station(tmp_path, "CP_2")
    with pytest.raises(UsageError, match="nor a folder of `ocppj certs`"):
        find_station(tmp_path / "none", "CP_1")
    with pytest.raises(UsageError, match="there is no file"):
        find_ca(tmp_path / "none")
    assert find_station(tmp_path / "station-1.pem", "CP_9") == tmp_path / "station-1.pem"


def test_the_docs_say_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "security.md").read_text("utf-8").split("## Certificates for tests")[1].split("\n## ")[0]
    command, printed = re.findall(r"^```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert main(command.split()[1:]) == 0
    assert capsys.readouterr().out == printed
