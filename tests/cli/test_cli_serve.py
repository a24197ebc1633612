"""``ocppj serve``: a central system with a prompt."""

import io
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading

import pytest

from ocppj import Client, HandshakeRefused, Server, v16
from ocppj.cli.main import main
from ocppj.recording import read_recording
from ocppj.testing import ScriptedStation
from tests.cli.commands import ROOT, Running
from tests.fixtures import BOOT, NOW
from tests.helpers import seconds


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """The control socket is in a folder of the test."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def serve(*words):
    return Running("serve", "--port", 0, "--host", "127.0.0.1", *words)


def test_traffic_and_commands(tmp_path):
    script = tmp_path / "commands.txt"
    script.write_text("# a comment\n\nwait 10ms\nCP_1 ClearCache\nexpect CP_1 Heartbeat within 20s\n", "utf-8")
    with (
        serve("--record", tmp_path / "s.jsonl") as running,
        ScriptedStation(running.url(), "CP_1", strict=False) as station,
    ):
        assert station.client.call(BOOT).status == "Accepted"
        started = v16.StartTransactionRequest(1, "T", 0, NOW)
        assert [station.client.call(started).transaction_id for _ in range(2)] == [1, 2]
        running.say("CP_1 Reset type=Soft")
        running.wait_for(r"CSMS -> CP_1  CALL    Reset +type=Soft")
        running.wait_for(r"CP_1 -> CSMS  RESULT  Reset +status=Accepted")
        running.say("expect BootNotification")
        running.say("expect CP_1 StartTransaction connectorId=1 idTag=T meterStart=0")
        running.say("list")
        running.wait_for("client +version +address")
        running.wait_for(r"CP_1 +1\.6 +127\.0\.0\.1:\d+ .* Accepted +0")
        station.send_raw('[2,"7","Authorize",{"idTag":5}]')
        running.wait_for("! TypeConstraintViolation: idTag must be string")
        running.say(f"script {script}")
        running.wait_for("RESULT +ClearCache")
        station.client.call(v16.HeartbeatRequest())
        running.say('send CP_1 [2,"raw","Reset",{"type":"Hard"}]')
        running.wait_for("RESULT +Reset")
        running.say('send CP_1 [2,"half')
        running.wait_for(r'\[2,"half')
        running.say("help")
        running.wait_for("The Tab key")
        running.say("drop CP_1")
        running.wait_for("DISCONNECTED +1000")
        running.say("quit")
        ran = running.wait()
    assert ran.code == 0
    assert "warning: CP_1: invalid message" in ran.err
    frames = list(read_recording(tmp_path / "s.jsonl"))
    assert [each.event for each in frames if each.event] == ["connected", "disconnected"]
    assert [each.sender for each in frames if not each.event][:2] == ["station", "csms"]
    assert not os.path.exists(tmp_path / "ocppj.sock")


def test_what_fails_is_told(tmp_path):
    """Each failure has a line of its own, and the code at the end is 1."""
    script = tmp_path / "s.txt"
    script.write_text("wait 1ms\nCP_1 Reset\n", "utf-8")
    lines = {
        "CP_2 Reset": "no client 'CP_2' is connected (CP_1)",
        "CP_1": "write what to send: CP_1 Reset type=Soft",
        "CP_1 Rest": "OCPP 1.6 has no action 'Rest'; is 'Reset' meant?",
        "CP_1 Reset typ=Soft": "there is no field 'typ': Reset has type (needed); is 'type' meant?",
        "CP_1 Reset": "required property 'type' is missing",
        "CP_1 Reset type=Sof": "type takes one of Hard, Soft, not 'Sof'; is 'Soft' meant?",
        "CP_1 Reset {": "this is no JSON: {",
        "CP_1 ChangeConfiguration key=A value=1": "NotSupported: ",
        "drop CP_2": "no client 'CP_2' is connected",
        "drop": "write: drop CP_1",
        "wait x": "'x' is no time: write 60s",
        "expect Heartbeat within 10ms": "no Heartbeat came within 0.01 s",
        "expect CP_2 Heartbeat within 10ms": "no Heartbeat of CP_2 came",
        "expect Heartbeat a.b=1 within 10ms": "no Heartbeat with a.b=1 came",
        "expect": "write: expect CP_1 StatusNotification",
        f"script {script}": f"{script}, line 2: ",
        f"script {tmp_path}/none": "No such file",
        "send": "write: send CP_1 Reset type=Soft",
    }
    with serve("--timeout", "20s") as running, Client("CP_1", profiles=v16.PROFILES) as client:
        client.connect(running.url())
        running.wait_for("CONNECTED")
        for line, error in lines.items():
            running.say(line)
            running.wait_for(re.escape(error))
        running.say("quit")
        assert running.wait().code == 1


def test_json_is_a_recording():
    with serve("--json", "--versions", "1.6") as running, ScriptedStation(running.url(), "CP_1") as station:
        station.client.call(BOOT)
        running.say("CP_1 ChangeConfiguration key=AuthorizationKey value=0123456789abcdef")
        running.wait_for('"csms".*ChangeConfiguration')
        running.wait_for("RESULT|Accepted")
        running.say("list")
        running.wait_for("boot")
        station.client.stop()
        running.wait_for("disconnected")
        ran = running.end()
    assert ran.code == 130
    assert "listening on" in ran.err
    (clients,) = (line["clients"] for line in ran.json if "clients" in line)
    assert [row["client"] for row in clients] == ["CP_1"]
    frames = list(read_recording(line for line in ran.lines if '"clients"' not in line))
    assert (frames[0].event, frames[-1].event) == ("connected", "disconnected")
    assert json.loads(frames[1].text)[2] == "BootNotification"
    assert "0123456789abcdef" not in ran.out + ran.err  # no message id has so many hexadecimal digits in a row


def test_at_the_end_of_its_input_it_goes_on():
    with serve("--control", "none") as running:
        url = running.url()
        running.process.stdin.close()
        running.process.stdin = None
        with Client("CP_1", profiles=v16.PROFILES) as client:
            client.connect(url)
            assert client.call(BOOT).status == "Accepted"
        ran = running.end(signal.SIGTERM)
    assert ran.code == 143
    assert "ocppj call" not in ran.out + ran.err


def test_passwords(tmp_path):
    """A 1.6 key may be sent as its text, and as its bytes. No password is shown."""
    file = tmp_path / "passwords"
    file.write_text("# stations\n\nCP_2:se:cret\n", "utf-8")

    def connect(name, password, url):
        client = Client(name, profiles=v16.PROFILES, reconnect=False, basic_auth=(name, password), security_profile=1)
        with client:
            client.connect(url)

    with serve("--auth", "CP_1:00ff00ff", "--auth-file", file) as running:
        url = running.url()
        connect("CP_1", "00ff00ff", url)
        connect("CP_1", b"\x00\xff\x00\xff", url)
        connect("CP_2", "se:cret", url)
        for name, password in (("CP_2", "wrong"), ("CP_3", "se:cret")):
            with pytest.raises(HandshakeRefused, match="401"):
                connect(name, password, url)
            running.wait_for(f"warning: .*refused with 401: wrong credentials of '{name}'")
        ran = running.end()
    assert not re.search("00ff|cret|wrong$", ran.out + ran.err)


def test_tls(tmp_path):
    """With the files of ``ocppj certs``; a certificate of a client is wanted with ``--require-certificate`` alone."""
    pytest.importorskip("trustme")
    from ocppj import TransportError, client_tls_context
    from ocppj.testing.pki_folder import find_station, write_pki

    write_pki(tmp_path / "pki", stations=["CP_1"])
    own = find_station(tmp_path / "pki", "CP_1")
    with serve("--tls", tmp_path / "pki", "--require-certificate") as running:
        url = running.url()
        assert url.startswith("wss://")
        for certificate in (own, None):
            context = client_tls_context(tmp_path / "pki" / "ca.pem", certificate)
            client = Client("CP_1", profiles=v16.PROFILES, reconnect=False, ssl_context=context)
            with client:
                if certificate is None:
                    with pytest.raises(TransportError):
                        client.connect(url)
                else:
                    client.connect(url)
                    assert client.call(BOOT).status == "Accepted"


WRONG = {
    "--port x": "'x' is no port",
    "--versions 3": "'3' is no OCPP version",
    "--tls /nothing": "there is no file /nothing",
    "--require-certificate": "--require-certificate needs --tls DIR",
    "--auth CP_1": "entry 1 of --auth or --auth-file is none: write ID:PASSWORD",
    "--auth-file /nothing": "--auth-file cannot be read",
    "--auth-file /dev/null": "--auth-file names nobody",
    "--path /ocpp": "has no segment '{id}'",
    "--control tcp:1": "unix:/run/ocppj.sock, not 'tcp:1'",
    "--validate hard": "invalid choice: 'hard'",
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_usage(words, capsys):
    assert main(["serve", "--port", "0", "--host", "127.0.0.1", *words.split()]) == 2
    assert WRONG[words] in capsys.readouterr().err


def test_what_a_second_serve_finds_taken(tmp_path, capsys, monkeypatch):
    """It leaves the control socket to the first, and says so. Two cannot have one port."""
    with Server(profiles=v16.PROFILES).listen(host="127.0.0.1") as first:
        first.control(f"unix:{tmp_path}/ocppj.sock")
        monkeypatch.setattr("sys.stdin", io.StringIO("quit\n"))
        assert main(["serve", "--port", "0", "--host", "127.0.0.1"]) == 0
        printed = capsys.readouterr()
        assert "listening on ws://127.0.0.1:" in printed.out
        assert "reaches the serve that was started before: give this one --control unix:PATH" in printed.err
        assert main(["serve", "--port", first.url.rpartition(":")[2], "--host", "127.0.0.1"]) == 1
        assert re.search("serve: .*in use", capsys.readouterr().err)
        assert main(["serve", "--port", "0", "--control", f"unix:{tmp_path}/ocppj.sock"]) == 1
        assert "serve: another process listens on" in capsys.readouterr().err


def test_an_output_that_is_closed_ends_it():
    """As with ``ocppj serve | head``, when the next message comes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ocppj", "serve", "--port", "0", "--host", "127.0.0.1", "--control", "none"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process, Client("CP_1", profiles=v16.PROFILES, reconnect=False) as client:
        url = re.search(r"ws://\S+", process.stdout.readline().decode())[0]
        process.stdout.close()
        client.connect(url)
        assert process.wait(seconds(20)) == 0
        assert process.stderr.read() == b""


#: The command, with an output that is always full.
FULL = """
import os, sys
os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
os.execv(sys.executable, [sys.executable, "-m", "ocppj", *sys.argv[1:]])
"""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_told_once_and_clients_are_served():
    words = ["serve", "--json", "--port", 0, "--host", "127.0.0.1", "--control", "none", "--record", "/dev/full"]
    with Running(*words, program=["-c", FULL]) as running, Client("CP_1", profiles=v16.PROFILES) as client:
        client.connect(running.url())
        running.wait_for("left out|cannot be shown")
        running.wait_for("left out|cannot be shown")
        assert client.call(BOOT).status == "Accepted"
        client.stop()
        ran = running.end(signal.SIGTERM)
    assert ran.code == 143
    assert sorted(ran.err.splitlines()[1:]) == [
        "error: lines are left out of the recording /dev/full: the disk is full, or slow",
        "the traffic cannot be shown: [Errno 28] No space left on device",
    ]


pty = pytest.importorskip("pty") if sys.platform != "win32" else None


class AtTerminal:
    """``ocppj serve`` at a terminal of 100 columns."""

    def __init__(self, *words):
        import fcntl
        import struct
        import termios

        self.screen, there = pty.openpty()
        fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ocppj", "serve", "--port", "0", "--host", "127.0.0.1", *words],
            stdin=there,
            stdout=there,
            stderr=there,
            env={**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT), "INPUTRC": os.devnull},
            start_new_session=True,
        )
        os.close(there)
        self.seen = ""

    def type(self, keys):
        os.write(self.screen, keys.encode())

    def wait_for(self, pattern):
        """Return the match of what is on the screen, and forget the screen up to its end."""
        while True:
            match = re.search(pattern, self.seen, re.DOTALL)
            if match:
                self.seen = self.seen[match.end() :]
                return match
            ready, _, _ = select.select([self.screen], [], [], seconds(20))
            assert ready, f"no {pattern!r} in {self.seen!r}"
            self.seen += os.read(self.screen, 65536).decode()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        os.close(self.screen)


@pytest.mark.skipif(pty is None, reason="no pseudo-terminals")
def test_a_line_that_is_typed_survives_the_traffic():
    """The Tab key completes; what is printed meanwhile stands above the line."""
    pytest.importorskip("readline")
    with AtTerminal() as terminal:
        url = terminal.wait_for(r"listening on (\S+)\r")[1]
        terminal.wait_for("ocppj> ")
        with ScriptedStation(url, "CP_1") as station:
            terminal.wait_for("CONNECTED.*ocppj> ")
            terminal.type("CP\t")
            terminal.wait_for("CP_1 ")
            terminal.type("Res")
            terminal.wait_for("Res")
            threading.Thread(target=station.client.call, args=(BOOT,)).start()
            terminal.wait_for(r"\r\x1b\[J[^\n]*RESULT  BootNotification[^\n]*\r\nocppj> CP_1 Res")
            terminal.type("et\t\t")
            terminal.wait_for("et type=")
            terminal.type("S\t\r")
            terminal.wait_for("Soft .*RESULT  Reset.*Accepted")
            terminal.type("nothing\r")
            terminal.wait_for("no client 'nothing' is connected.*ocppj> ")
            terminal.type("\x04")
            terminal.wait_for("DISCONNECTED")
        assert terminal.process.wait(seconds(20)) == 0


@pytest.mark.skipif(pty is None, reason="no pseudo-terminals")
def test_ctrl_c_at_a_terminal():
    with AtTerminal() as terminal:
        terminal.wait_for("ocppj> ")
        assert _interrupt(terminal.process) == 130
        terminal.wait_for("\n")
        assert "Traceback" not in terminal.seen


def _interrupt(process):
    """Press Ctrl-C, up to three times: Python misses a signal just before it begins to wait in ``readline``."""
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        try:
            return process.wait(seconds(5))
        except subprocess.TimeoutExpired:
            pass
    raise AssertionError("it did not end")
