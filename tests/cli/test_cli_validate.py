"""``ocppj validate``."""

import io
import json
import types
from pathlib import Path

from ocppj.cli.main import main
from tests.cli.commands import Running, ocppj

CALL = (
    'INFO:ocpp:CP_1: receive message [2,"1","BootNotification",{"chargePointVendor":"Acme","chargePointModel":"One"}]'
)
RESULT = 'INFO:ocpp:CP_1: send [3,"1",{"status":"Accepted","currentTime":"2026-01-02T03:04:05Z","interval":300}]'
BAD = 'INFO:ocpp:CP_1: send [2,"2","Reset",{"type":"Warm"}]'
SECRET = (
    'INFO:ocpp:CP_1: send [2,"3","ChangeConfiguration",{"key":"AuthorizationKey","value":"deadbeef01","x":"secret"}]'
)


def test_a_log_with_faults(tmp_path: Path) -> None:
    log = tmp_path / "csms.log"
    log.write_text("\n".join([CALL, RESULT, "", BAD]), "utf-8")
    ran = ocppj("validate", log)
    assert (ran.code, ran.err) == (1, "")
    assert "".join(ran.lines[0].split()) == "1ok------------CP_1->CSMSCALLBootNotification1"
    assert ran.lines[2].split()[:2] == ["4", "bad"]
    assert ran.lines[3].strip() == "! PropertyConstraintViolation at type: type must be one of Hard, Soft, not 'Warm'"
    assert [line.split() for line in ran.lines[5:8]] == [
        ["action", "from", "requests", "results", "errors", "bad", "unanswered"],
        ["BootNotification", "station", "1", "1", "0", "0", "0"],
        ["Reset", "csms", "1", "0", "0", "1", "0"],
    ]
    station = "CP_1 3 1 0 1.6 the properties of its BootNotification, in line 1"
    assert station in [" ".join(line.split()) for line in ran.lines]
    assert ran.lines[-1] == f"{log}: 3 frames, 1 bad, 0 CALLs without an answer"


def test_only_bad_frames_of_several_logs_as_json(tmp_path: Path, capsys: "object") -> None:
    good, bad = tmp_path / "good.log", tmp_path / "bad.log"
    good.write_text(f"{CALL}\n{RESULT}\n", "utf-8")
    bad.write_text(f"{CALL}\n{RESULT}\n{BAD}\n{SECRET}\n", "utf-8")
    ran = ocppj("validate", "--json", "--only-bad", good, bad)
    first, reset, change, second = ran.json
    assert ran.code == 1
    assert (first["summary"]["frames"], first["summary"]["bad"]) == (2, 0)
    assert (reset["line"], reset["client"], reset["from"], reset["verdict"]) == (3, "CP_1", "csms", "bad")
    assert reset["faults"] == [
        {
            "code": "PropertyConstraintViolation",
            "path": "type",
            "text": "type must be one of Hard, Soft, not 'Warm'",
        }
    ]
    assert json.loads(reset["text"])[2] == "Reset"
    assert second["summary"]["codes"] == {
        "PropertyConstraintViolation": 1,
        "FormationViolation": 1,
        "second call": 1,
    }
    assert "deadbeef" not in ran.out and "***" in change["text"]
    assert "deadbeef01" in ocppj("validate", "--json", "--show-secrets", bad).out


def test_the_standard_input_and_the_version(tmp_path: Path) -> None:
    ran = ocppj("validate", "-", "--version", "2.0.1", stdin=f"{CALL}\n")
    assert ran.code == 1
    assert "FormatViolation at chargePointVendor" in ran.out
    assert ran.lines[-1] == "the standard input: 1 frame, 1 bad, 0 CALLs without an answer"


def test_one_payload() -> None:
    good = ocppj("validate", "1.6", "MeterValuesResponse", stdin="{}")
    assert (good.code, good.out) == (0, "ok: a valid MeterValuesResponse of OCPP 1.6\n")
    bad = ocppj("validate", "1.6", "reset", "--json", stdin='{"type": "Warm"}')
    assert bad.code == 1
    (value,) = bad.json
    assert (value["action"], value["verdict"], value["faults"][0]["path"]) == ("Reset", "bad", "type")


def test_wrong_usage(capsys: object) -> None:
    for words, expected in (
        (["validate", "no.log"], "there is no file 'no.log'"),
        (["validate", "1.6"], "write one action behind the version"),
        (["validate", "1.6", "Resett"], "similar ones: Reset"),
        (["validate", "--version", "3", "-"], "'3' is no OCPP version"),
        (["validate", "-", "--response"], "--response is for one payload"),
    ):
        assert main(words) == 2
        assert expected in capsys.readouterr().err  # type: ignore[attr-defined]


def test_a_log_without_frames_and_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "empty.log").write_text("nothing\n", "utf-8")
    ran = ocppj("validate", tmp_path / "empty.log")
    assert (ran.code, ran.err) == (1, f"{tmp_path / 'empty.log'}: there is no frame in it\n")
    (tmp_path / "good.log").write_text(f"{CALL}\n{RESULT}\n", "utf-8")
    ran = ocppj("validate", tmp_path, tmp_path / "empty.log", tmp_path / "good.log")  # the first is a folder
    assert ran.code == 1
    assert [line.split(": ")[0] for line in ran.err.splitlines()] == [str(tmp_path), str(tmp_path / "empty.log")]
    assert ran.lines[-1] == f"{tmp_path / 'good.log'}: 2 frames, 0 bad, 0 CALLs without an answer"
    with Running("validate", "-", "--version", "1.6") as running:
        running.say(CALL)
        running.wait_for("BootNotification")  # at once: it does not wait for the end of the log
        ran = running.end()
    assert (ran.code, ran.lines[-1]) == (130, "the standard input: 1 frame, 0 bad, 0 CALLs without an answer")


def test_ctrl_c_tells_of_frames_whose_version_is_not_known_yet(monkeypatch: object, capsys: object) -> None:
    class Growing(io.BytesIO):
        """A log that goes on, until Ctrl-C."""

        def peek(self, size: int) -> bytes:
            return self.getvalue()[:size]

        def readline(self, *size: int) -> bytes:
            line = super().readline(*size)
            if not line:
                raise KeyboardInterrupt
            return line

    stdin = types.SimpleNamespace(buffer=Growing(b'[2,"1","Heartbeat",{}]\n'))
    monkeypatch.setattr("sys.stdin", stdin)  # type: ignore[attr-defined]
    assert main(["validate", "-", "--json"]) == 130
    frame, summary = map(json.loads, capsys.readouterr().out.splitlines())  # type: ignore[attr-defined]
    assert (frame["action"], frame["verdict"]) == ("Heartbeat", "ok")
    assert summary["summary"]["frames"] == 1


def test_broken_lines_of_a_recording_are_told(tmp_path: Path) -> None:
    recording = tmp_path / "s.jsonl"
    line = '{"time": "2026-01-01T00:00:00Z", "from": "station", "client": "CP_1", "version": "1.6", "text": "[2,1]"}'
    line = line.replace("[2,1]", '[2,\\"1\\",\\"Heartbeat\\",{}]')
    recording.write_text(f"{line}\ngarbage\n", "utf-8")
    ran = ocppj("validate", "-", stdin=recording.read_text("utf-8"))
    assert (ran.code, ran.err) == (0, "the standard input: 1 line cannot be read, the first is line 2\n")
