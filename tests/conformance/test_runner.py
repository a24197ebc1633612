"""The runner and its reports, without a peer."""

import json
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Any, Callable, Iterator
from xml.etree import ElementTree

import pytest

from ocppj import UsageError
from ocppj.conformance.cases import ALL, CSMS, ROLES, Case, case, cases_of, choose
from ocppj.conformance.deadline import Deadline
from ocppj.conformance.outcomes import LONGEST, MOST, Frames, Report
from ocppj.conformance.reports.junit import junit_xml
from ocppj.conformance.reports.page import html_page
from ocppj.conformance.reports.text import details, groups, summary
from ocppj.conformance.reports.values import values_of
from ocppj.conformance.runner import Peer, Runner
from ocppj.conformance.verdicts import Doubtful, Failed, NotApplicable, PeerGone


class NoPeer(Peer):
    """Gives the frames to the case."""

    name = "ws://host/ocpp/CP_1"

    def __init__(self) -> None:
        self.closed = 0

    @contextmanager
    def open(self, case: Case, version: str, frames: Frames, deadline: Deadline) -> Iterator[Any]:
        try:
            yield frames
        finally:
            self.closed += 1


def make(run: Callable[[Any], None], name: str = "group-name", versions: Any = ALL, **more: Any) -> Case:
    return Case(CSMS, name, "Try it", "J 1.6 4.2", "that it works", tuple(versions), run, **more)


def raising(error: Exception) -> Callable[[Any], None]:
    def run(room: Any) -> None:
        room.note("station", '[2,"1","Heartbeat",{}]')
        raise error

    return run


def passing(room: Any) -> None:
    room.note("csms", "[3]")


@pytest.mark.parametrize(
    ("error", "verdict", "reason"),
    [
        (Failed("no"), "fail", "no"),
        (Doubtful("hm"), "suspicious", "hm"),
        (NotApplicable("not here"), "not applicable", "not here"),
        (ZeroDivisionError("oops"), "suspicious", "the case could not be run: ZeroDivisionError: oops"),
    ],
)
def test_what_a_case_raises_is_its_verdict(error: Exception, verdict: str, reason: str) -> None:
    peer = NoPeer()

    report = Runner(peer).run(CSMS, [make(raising(error))], ["1.6"])

    (outcome,) = report.outcomes
    assert (outcome.verdict, outcome.reason) == (verdict, reason)
    assert [frame.text for frame in outcome.frames] == ['[2,"1","Heartbeat",{}]']
    assert peer.closed == 1


def test_a_case_that_returns_has_passed() -> None:
    seen = []

    report = Runner(NoPeer(), on_outcome=seen.append).run(CSMS, [make(passing)], ["1.6"])

    assert [each.verdict for each in report.outcomes] == ["pass"]
    assert seen == report.outcomes
    assert report.is_good


def test_each_case_is_run_over_its_versions_and_once_where_that_is_enough() -> None:
    cases = [make(passing, "a", ["2.0.1", "2.1"]), make(passing, "b"), make(passing, "c", once=True)]

    report = Runner(NoPeer()).run(CSMS, cases, ["1.6", "2.1"])

    assert [(each.case.id, each.version) for each in report.outcomes] == [
        ("b", "1.6"),
        ("c", "1.6"),
        ("a", "2.1"),
        ("b", "2.1"),
    ]


def test_a_peer_that_is_gone_ends_the_run() -> None:
    cases = [make(passing, "a"), make(raising(PeerGone("it is gone")), "b"), make(passing, "c")]

    report = Runner(NoPeer()).run(CSMS, cases, ["1.6"])

    assert [each.case.id for each in report.outcomes] == ["a"]
    assert report.ended == "it is gone, after the case a"
    assert report.not_run == 2
    assert not report.is_good


def test_a_case_that_needs_a_permission() -> None:
    cases = [make(passing, needs="allow-reset")]

    (without,) = Runner(NoPeer()).run(CSMS, cases, ["1.6"]).outcomes
    (with_it,) = Runner(NoPeer(), allowed=["allow-reset"]).run(CSMS, cases, ["1.6"]).outcomes

    assert (without.verdict, without.reason) == ("not applicable", "it needs --allow-reset")
    assert with_it.verdict == "pass"


def test_a_deadline_that_has_come() -> None:
    with pytest.raises(Doubtful, match="the case took longer than its 0 s"):
        Deadline(0).left(1.0)
    assert Deadline(60).left(1.0) == 1.0
    assert Deadline(60).left(600.0) <= 60


def test_frames_are_cut() -> None:
    frames = Frames()
    for _ in range(MOST + 5):
        frames.note("csms", "x" * (LONGEST + 1))

    noted = frames.all()

    assert noted[0].text == "x" * LONGEST + f"... ({LONGEST + 1} characters)"
    assert len(noted) == MOST + 1
    assert noted[-1].text == "<5 more>"


def test_two_cases_cannot_have_one_id() -> None:
    cases_of(CSMS)

    with pytest.raises(UsageError, match="two cases"):
        case(CSMS, "rpc-heartbeat", "again", section="", expects="")(passing)


def test_cases_are_chosen_by_patterns() -> None:
    cases = [make(passing, "ws-ping"), make(passing, "ws-pong"), make(passing, "rpc-call")]

    assert [each.id for each in choose(cases, ["ws-*", "rpc-call"])] == ["ws-ping", "ws-pong", "rpc-call"]
    assert [each.id for each in choose(cases, ["*-pong"])] == ["ws-pong"]
    assert choose(cases, []) == cases
    with pytest.raises(UsageError, match="no case has the id 'tls-"):
        choose(cases, ["tls-*"])


def test_the_central_system_has_its_eighty_cases_and_each_is_described() -> None:
    cases = cases_of(CSMS)

    assert len(cases) >= 80
    for version in ALL:
        assert len([each for each in cases if version in each.versions]) >= 80
    for each in cases:
        assert each.title and each.section and each.expects, each.id
        assert not each.title.endswith("."), each.id
        assert set(each.versions) <= set(ALL), each.id
    assert CSMS in ROLES


# Reports


def a_report() -> Report:
    secret = '[2,"7","ChangeConfiguration",{"key":"AuthorizationKey","value":"topsecret99"}]'

    def failing(room: Any) -> None:
        room.note("csms", secret)
        room.note("", "<closed\x00>")
        raise Failed("<it> & that")

    cases = [
        make(failing, "ws-a"),
        make(passing, "ws-b"),
        make(raising(Doubtful("hm")), "rpc-c"),
        make(raising(NotApplicable("no")), "rpc-d"),
    ]
    return Runner(NoPeer()).run(CSMS, cases, ["1.6", "2.1"])


def test_json() -> None:
    values = json.loads(json.dumps(values_of(a_report())))

    assert values["counts"] == {"failed": 2, "suspicious": 2, "not_applicable": 2, "passed": 2}
    assert values["good"] is False
    assert values["peer"] == "ws://host/ocpp/CP_1"
    first = values["cases"][0]
    assert (first["id"], first["version"], first["verdict"]) == ("ws-a", "1.6", "fail")
    assert (first["reason"], first["section"], first["expects"]) == ("<it> & that", "J 1.6 4.2", "that it works")
    assert first["frames"][0]["from"] == "csms"
    assert '"value":"***"' in first["frames"][0]["text"]
    assert "topsecret99" in values_of(a_report(), show_secrets=True)["cases"][0]["frames"][0]["text"]


def test_junit() -> None:
    text = junit_xml(a_report())
    root = ElementTree.fromstring(text.encode())

    assert (root.tag, root.attrib["tests"], root.attrib["failures"], root.attrib["errors"]) == (
        "testsuites",
        "8",
        "2",
        "0",
    )
    suites = root.findall("testsuite")
    assert [each.attrib["name"] for each in suites] == ["OCPP 1.6", "OCPP 2.1"]
    assert [suites[0].attrib[name] for name in ("tests", "failures", "errors", "skipped")] == ["4", "1", "0", "2"]
    failed, passed, doubtful, not_applicable = suites[0].findall("testcase")
    assert failed.attrib["classname"] == "ocppj.csms.ws.v16"
    failure = failed.find("failure")
    assert failure is not None and failure.attrib["message"] == "<it> & that"
    assert "that it works" in (failure.text or "") and "<closed\ufffd>" in (failure.text or "")
    assert list(passed) == []
    assert [each.tag for each in doubtful] == ["skipped", "system-out"]
    assert doubtful[0].attrib["message"] == "suspicious: hm"
    assert not_applicable[0].attrib["message"] == "not applicable: no"
    assert "topsecret99" not in text


def test_junit_of_a_run_that_ended_early() -> None:
    report = Runner(NoPeer()).run(CSMS, [make(raising(PeerGone("it is gone")))], ["1.6"])
    root = ElementTree.fromstring(junit_xml(report).encode())

    error = root.find("testsuite/testcase/error")
    assert root.attrib["errors"] == "1"
    assert error is not None and error.attrib["message"] == "it is gone: 1 cases were not run"


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.verdicts: "list[Any]" = []
        self.links: "list[str]" = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        fields = dict(attrs)
        if tag == "details":
            self.verdicts.append((fields["data-verdict"], "open" in fields))
        self.links += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_needs_no_network_and_shows_failures_first() -> None:
    text = html_page(a_report())
    page = _Page()
    page.feed(text)

    assert page.links == [] and "http" not in text.replace("http-equiv", "")
    assert page.verdicts[:3] == [("fail", True), ("fail", True), ("suspicious", False)]
    assert "&lt;it&gt; &amp; that" in text and "<it>" not in text
    assert "topsecret99" not in text


def test_the_text_of_a_failure_has_its_frames() -> None:
    report = a_report()

    lines = list(details(report.outcomes[0]))

    assert lines[0] == "FAIL  ws-a  OCPP 1.6: Try it"
    assert lines[1].split(None, 1) == ["reason", "<it> & that"]
    assert lines[-1].endswith("<closed\x00>")
    rows = [["ws", 1, 0, 0, 1], ["rpc", 0, 1, 1, 0]]
    assert groups(report)[1] == [[version, *row] for version in ("1.6", "2.1") for row in rows]
    assert summary(report).endswith("2 passed, 2 failed, 2 suspicious, 2 not applicable")
