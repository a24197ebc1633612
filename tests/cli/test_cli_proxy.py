"""``ocppj proxy``: what it prints, what goes through, and how it ends."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from ocppj import HandshakeRefused
from ocppj.cli.main import main
from ocppj.testing.pki_folder import write_pki
from ocppj.ws.tls import client_tls_context, server_tls_context
from tests.cli.commands import Running
from tests.helpers import Recorder, eventually
from tests.proxy.rig import Rig, rig

__all__ = ["rig"]

CALL = '[2,"1","Authorize",{"idTag":"A"}]'
KEY = '[2,"2","ChangeConfiguration",{"key":"AuthorizationKey","value":"0123456789abcdef"}]'


def test_it_shows_and_records_what_goes_through_and_ends_by_ctrl_c(rig: Rig, tmp_path: Path) -> None:
    _, central = rig.central()
    _, other = rig.central()
    words = ["--to", central.transport.url, "--also", other.transport.url, "--record", tmp_path / "s.jsonl"]
    (tmp_path / "passwords").write_text("CP_1:secret", "utf-8")
    words += ["--path", "/in", "--password-file", tmp_path / "passwords", "--also-password", "CP_1:else"]
    checked = Recorder(result=True)
    central.transport.set_basic_auth_handler(checked)
    with Running("proxy", "--listen", "127.0.0.1:0", *words) as proxy:
        url = proxy.url()
        assert url.endswith("/in")
        client, station = rig.station(url, subprotocols=["ocpp1.6"])
        client.send(CALL)
        assert other.wait_texts(1) == central.wait_texts(1) == [CALL]
        assert checked.calls == [("CP_1", b"secret")]
        central.channel().send(KEY)
        assert station.wait_texts(1) == [KEY]
        proxy.wait_for("ChangeConfiguration")
        ended = proxy.end()
    assert ended.code == 130
    close = station.close()
    assert (close.code, close.by_peer) == (1001, True)
    assert "CP_1 -> CSMS  CALL " in ended.out
    assert "idTag=A" in ended.out
    assert "0123456789abcdef" not in ended.out
    assert "frames of stations: 1, of the central system: 1, copied: 1" in ended.out
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text("utf-8").splitlines()]
    assert [line.get("from") or line["event"] for line in lines] == ["connected", "station", "csms", "disconnected"]
    assert lines[1]["text"] == CALL
    assert "0123456789abcdef" not in lines[2]["text"]


def test_json_is_a_line_for_each_frame_and_sigterm_ends_it(rig: Rig) -> None:
    _, central = rig.central()
    with Running("proxy", "--listen", "127.0.0.1:0", "--to", central.transport.url, "--json") as proxy:
        client, _ = rig.station(proxy.url(), subprotocols=["ocpp1.6"])
        client.send(CALL)
        central.wait_texts(1)
        proxy.wait_for("Authorize")
        ended = proxy.end(signal.SIGTERM)
    assert ended.code == 143
    assert [line.get("from") or line["event"] for line in ended.json] == ["connected", "station", "disconnected"]
    assert ended.json[1]["text"] == CALL
    assert "listening on ws://127.0.0.1:" in ended.err


def test_passwords_and_tls_may_end_here_and_a_refusal_is_shown(rig: Rig, tmp_path: Path) -> None:
    write_pki(tmp_path)
    server, central = rig.central()
    server.set_check_client_handler(lambda request: request.identity == "CP_1")
    words = ["--tls", tmp_path, "--auth", "CP_1:right", "--auth", "CP_2:right", "--no-credentials"]
    with Running("proxy", "--listen", "127.0.0.1:0", "--to", server.url, *words) as proxy:
        url = proxy.url()
        assert url.startswith("wss://127.0.0.1:")
        context = client_tls_context(tmp_path / "ca.pem")
        with pytest.raises(HandshakeRefused) as caught:
            rig.station(url, "CP_2", ssl_context=context, basic_auth=("CP_2", b"right"))
        assert caught.value.status == 404
        proxy.wait_for("REFUSED +404")
        with pytest.raises(HandshakeRefused) as caught:
            rig.station(url, ssl_context=context, basic_auth=("CP_1", b"wrong"))
        assert caught.value.status == 401
        rig.station(url, ssl_context=context, basic_auth=("CP_1", b"right"))
        assert "Authorization" not in central.channel().handshake.headers


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--to"),
        (["--to", "http://x"], "ws"),
        (["--to", "ws://x", "--listen", "x"], "no port"),
        (["--to", "ws://x", "--password", "hunter2"], "write ID:PASSWORD"),
        (["--to", "ws://x", "--password", "a:b", "--no-credentials"], "not allowed with"),
        (["--to", "ws://x", "--auth-file", "nowhere"], "--auth-file cannot be read"),
        (["--to", "ws://x", "--password-file", "{file}", "--no-credentials"], "leave out --password-file"),
        (["--to", "ws://x", "--auth-file", "{json}"], '{"CP_1": "PASSWORD"}'),
        (["--to", "ws://x", "--also-password", "a:b"], "--also"),
        (["--to", "ws://x", "--also", "y"], "URL"),
        (["--to", "ws://x", "--require-certificate"], "--tls DIR"),
        (["--to", "ws://x", "--tls", "nowhere"], "nowhere"),
        (["--to", "ws://x", "--path", "in"], "'/ocpp'"),
    ],
)
def test_wrong_usage_is_2_and_says_what_to_write(words: Any, said: str, capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("# passwords\nCP_1:hunter2\n", "utf-8")
    (tmp_path / "json").write_text('{"CP_1": ["hunter2"]}', "utf-8")
    words = [str(tmp_path / word.strip("{}")) if word.startswith("{") else word for word in words]
    assert main(["proxy", *words]) == 2
    said_all = capsys.readouterr()
    assert said in said_all.err
    assert "hunter2" not in said_all.err


def test_a_port_that_is_taken_is_1(rig: Rig, capsys: Any) -> None:
    server, _ = rig.central()
    assert main(["proxy", "--listen", f"127.0.0.1:{server.port}", "--to", server.url]) == 1
    assert "proxy: " in capsys.readouterr().err


def test_help_has_examples_of_its_options(capsys: Any) -> None:
    assert main(["proxy", "--help"]) == 0
    said = capsys.readouterr().out
    for word in ("--also wss://old.example/ocpp", "--record", "--password CP_1:secret", "--pass-credentials"):
        assert word in said


def test_stations_have_certificates_of_their_own_if_the_folder_has_them(rig: Rig, tmp_path: Path) -> None:
    write_pki(tmp_path, stations=["CP_1"])
    context = server_tls_context(
        tmp_path / "server.pem", client_ca=tmp_path / "ca.pem", require_client_certificate=True
    )
    server, central = rig.central(ssl_context=context)
    to = server.url.replace("127.0.0.1", "localhost")
    words = ["--to", to, "--ca", str(tmp_path), "--cert", str(tmp_path), "--listen", "127.0.0.1:0"]
    with Running("proxy", *words) as proxy:
        rig.station(proxy.url(), subprotocols=["ocpp1.6"])
        assert eventually(lambda: central.connected.calls)
        assert central.channel().handshake.certificate_matches
