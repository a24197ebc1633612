"""Each case for central systems can fail: a central system that breaks the rule does not pass it."""

import ssl
import warnings
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import pytest

from ocppj.conformance.cases import CSMS, cases_of, choose
from ocppj.conformance.csms.link import Patience
from ocppj.conformance.csms.peer import CentralSystem
from ocppj.conformance.runner import Runner
from ocppj.testing import TestPKI
from tests.conformance.faulty import FaultyCSMS
from tests.helpers import seconds

#: The faults of a central system, the verdict, and the cases that find them.
FOUND: Tuple[Tuple[str, str, str], ...] = (
    ("refuses", "fail", "handshake-subprotocol rpc-heartbeat whole-alive"),
    (
        "whole-header",
        "fail",
        "handshake-unknown-first handshake-unknown-last handshake-preference handshake-two-fields",
    ),
    ("whole-header", "fail", "handshake-list-without-spaces"),
    ("first-offered", "fail", "handshake-unknown-first handshake-no-common-version"),
    ("first-offered", "suspicious", "handshake-subprotocol-case"),
    ("always-1.6", "fail", "handshake-no-version"),
    ("stays-open", "fail", "handshake-no-common-version"),
    ("stays-open", "suspicious", "handshake-no-version"),
    ("bad-accept", "fail", "handshake-accept"),
    ("bare-101", "fail", "handshake-answer-headers"),
    ("exact-path", "suspicious", "handshake-escaped-identity handshake-query"),
    ("open-door", "suspicious", "handshake-unknown-identity handshake-no-identity handshake-long-identity"),
    ("open-door", "fail", "handshake-plain-get handshake-post handshake-websocket-version handshake-no-key"),
    ("open-door", "suspicious", "handshake-short-key handshake-no-host"),
    ("exact-names", "fail", "handshake-header-case"),
    ("echoes-extensions", "fail", "handshake-unknown-extension"),
    ("likes-extensions", "fail", "handshake-no-compression"),
    ("", "fail", "handshake-compression"),
    ("silent-large", "suspicious", "handshake-large-header"),
    ("no-password", "fail", "handshake-password-missing handshake-password-wrong handshake-password-of-another"),
    ("no-password", "fail", "handshake-password-malformed"),
    ("exact-basic", "suspicious", "handshake-password-scheme-case"),
    ("no-pong", "fail", "ws-ping ws-ping-empty ws-ping-long ws-fragments-ping chaos-pings"),
    ("empty-pong", "fail", "ws-ping ws-ping-empty ws-ping-long ws-fragments-ping"),
    ("frame-by-frame", "fail", "ws-fragments ws-fragments-letter"),
    ("shortens-ids", "fail", "ws-fragments-empty"),
    ("ends-at-pong", "fail", "ws-pong-unasked"),
    ("ends-at-pong", "suspicious fail", "chaos-pongs"),
    ("", "fail suspicious", "ws-new-before-end ws-continuation-first ws-unmasked ws-reserved-bits ws-reserved-opcode"),
    ("", "fail", "ws-ping-too-long ws-ping-in-parts ws-utf8"),
    ("", "suspicious", "ws-binary"),
    ("no-close", "fail", "ws-close ws-close-then-call ws-close-code ws-close-one-byte"),
    ("drops-at-close", "fail", "ws-close"),
    ("ends-at-bad-json", "suspicious", "ws-empty rpc-json"),
    ("serves-anything", "fail", "rpc-big-number"),
    ("small", "suspicious", "ws-large ws-too-large"),
    ("single", "suspicious", "ws-announced chaos-half-frame chaos-two-connections chaos-older-ends"),
    ("single", "suspicious", "rpc-deep"),
    ("packets", "fail", "chaos-slow-bytes chaos-slow-handshake"),
    ("ignores-long-form", "suspicious", "ws-length-form"),
    ("ends-at-utf8", "suspicious", "rpc-half-letter"),
    (
        "serves-anything",
        "fail suspicious",
        "rpc-json rpc-json-rest rpc-nan rpc-object rpc-empty-array rpc-text rpc-null",
    ),
    ("serves-anything", "fail suspicious", "rpc-type-unknown rpc-type-zero rpc-type-of-2.1 rpc-type-text"),
    ("", "suspicious", "rpc-id-number rpc-id-null rpc-id-list rpc-id-too-long"),
    ("serves-anything", "fail suspicious", "rpc-three rpc-two rpc-five rpc-action-unknown rpc-action-case"),
    ("serves-anything", "fail suspicious", "rpc-action-suffix rpc-action-number rpc-action-of-csms"),
    ("serves-anything", "fail", "rpc-payload-list rpc-payload-text rpc-result-unasked rpc-error-unasked"),
    ("serves-anything", "fail suspicious", "rpc-error-corrupt rpc-error-minus-one rpc-resulterror-unasked"),
    ("serves-anything", "fail", "rpc-send rpc-send-unknown chaos-error-flood"),
    ("odd-code", "fail", "rpc-action-unknown"),
    ("bad-errors", "fail", "rpc-action-unknown rpc-error-form"),
    ("naive", "fail", "rpc-spaces rpc-escapes rpc-id-odd"),
    ("shortens-ids", "fail", "rpc-heartbeat rpc-id-longest rpc-send-between rpc-two-at-once:suspicious"),
    ("shortens-ids", "suspicious", "whole-alive"),
    ("numbers", "fail", "rpc-id-short"),
    ("no-null", "fail", "rpc-payload-null"),
    ("ids-once", "suspicious", "rpc-again rpc-again-other"),
    ("every-second", "suspicious", "rpc-two-at-once chaos-one-packet chaos-flood"),
    ("ignores-transfers", "suspicious", "rpc-keys-twice"),
    ("", "fail", "payload-missing payload-empty payload-type payload-null payload-text-number payload-fraction"),
    ("", "fail", "payload-bool payload-list-type payload-nested payload-enum payload-enum-case"),
    ("", "suspicious", "payload-list-empty payload-length payload-extra payload-extra-nested payload-time"),
    ("refuses-most", "fail", "payload-longest payload-letters payload-custom-data payload-time-zone"),
    ("refuses-most", "fail", "payload-time-seconds payload-full-boot payload-full-meter payload-full-status"),
    ("refuses-most", "fail", "payload-celsius"),
    ("gate", "suspicious", "session-before-boot"),
    ("odd-boot", "fail", "session-boot"),
    ("old-clock", "suspicious", "session-boot-time session-heartbeat-time"),
    ("no-zone", "fail", "session-time-form"),
    ("boot-once", "fail", "session-boot-again"),
    ("gate", "fail", "session-boot-reconnect"),
    ("refuses-most", "fail", "session-status session-status-whole session-data-transfer session-data-transfer-shape"),
    ("", "suspicious", "session-data-transfer"),
    ("two-calls", "fail", "session-one-call"),
    ("waits", "fail", "session-crossing"),
    ("nonsense", "fail", "v16-authorize v2-authorize v2-notify-event"),
    ("", "suspicious", "v16-authorize-unknown v16-start-unknown-tag v16-start-retry"),
    ("", "suspicious", "v2-authorize-unknown v2-authorize-key-code"),
    ("one-transaction", "fail", "v16-transaction-ids"),
    (
        "refuses-most",
        "fail",
        "v16-transaction v16-start-offline v16-start-future:suspicious v16-stop-unknown v16-stop-again",
    ),
    ("refuses-most", "fail", "v16-stop-without-reason v16-stop-data v16-meter-idle v16-meter-unknown"),
    ("refuses-most", "fail", "v16-meter-measurands v16-meter-many v16-status-error"),
    ("stop-info", "suspicious", "v16-stop-answer"),
    ("", "fail", "v2-transaction-token v2-transaction-no-authorization v2-certificate-status"),
    ("accepts-tokens", "suspicious", "v2-transaction-unknown-token"),
    ("refuses-most", "fail", "v2-transaction v2-transaction-offline v2-transaction-reconnect v2-transaction-retry"),
    ("refuses-most", "fail", "v2-transaction-same-event v2-transaction-order v2-transaction-gap v2-meter-values"),
    ("refuses-most", "fail", "v2-transaction-ended-only v2-transaction-triggers v2-security-event v2-boot-reasons"),
    ("nonsense", "fail", "message-*"),
    ("last-stand", "fail", "chaos-cut-in-frame chaos-cut-in-message chaos-cut-before-answer chaos-half-close"),
    ("last-stand", "fail", "chaos-reconnects"),
    ("one-by-one", "suspicious", "chaos-half-handshake chaos-silent-connection"),
    ("last-stand", "fail", "chaos-cut-handshake"),
    ("last-stand ends-at-bad-json", "fail", "chaos-garbage"),
    ("no-close", "fail", "chaos-random-bytes chaos-http-again"),
)
#: With these faults something does not come: there is no use in waiting long.
SILENT = {"shortens-ids", "no-pong", "naive", "no-close", "waits", "numbers"}
#: Cases that need more than one run, and have tests of their own.
APART = {"whole-frames", "whole-calls", "handshake-plain-to-tls", "handshake-tls-old", "handshake-tls-suites"}


def _run(csms: FaultyCSMS, pattern: str, version: str = "") -> "Dict[str, Tuple[str, str]]":
    cases = choose(cases_of(CSMS), pattern.split())
    peer = CentralSystem(csms.url, "CP_1", password=csms.password)
    peer.patience = Patience(seconds(0.1 if csms.faults & SILENT else 0.25), straggling=0.002)
    versions = [version] if version else _versions_of(cases)
    report = Runner(peer, factor=seconds(0.03 if csms.has("one-by-one") else 1)).run(CSMS, cases, versions)
    assert report.ended == ""
    return {outcome.case.id: (outcome.verdict, outcome.reason) for outcome in report.outcomes}


def _versions_of(cases: "List") -> "List[str]":
    """Return the versions in which the cases are run: as few as possible."""
    if all("1.6" in case.versions for case in cases):
        return ["1.6"]
    return ["1.6", "2.1"]


@pytest.mark.parametrize(
    ("faults", "verdicts", "ids"), FOUND, ids=[f"{number}-{each[0]}" for number, each in enumerate(FOUND)]
)
def test_a_fault_is_found(faults: str, verdicts: str, ids: str) -> None:
    password = "a password of CP_1" if "password" in ids else None
    plain = " ".join(each.partition(":")[0] for each in ids.split())
    alone = {"single", "last-stand"} & set(faults.split())  # a case must not meet the connections of another one
    found = {}
    for pattern in plain.split() if alone else [plain]:
        with FaultyCSMS(*faults.split(), password=password) as csms:
            found.update(_run(csms, pattern))
    assert found
    for each in ids.split():
        name, _, other = each.partition(":")
        for case_id in choose_ids(name, found):
            wanted = other.split() or verdicts.split()
            assert found[case_id][0] in wanted, (case_id, found[case_id])


def choose_ids(pattern: str, found: "Dict[str, Tuple[str, str]]") -> "Iterator[str]":
    prefix = pattern.rstrip("*")
    return (each for each in found if each == pattern or (pattern.endswith("*") and each.startswith(prefix)))


def test_frames_that_break_a_rule_are_remembered_until_the_end() -> None:
    with FaultyCSMS("odd-code", "one-id") as csms:
        found = _run(csms, "rpc-action-unknown whole-frames whole-calls", "1.6")
        without = _run(csms, "whole-frames", "1.6")

    assert found["whole-frames"][0] == "fail" and "OCPP 1.6 has no error code 'CoffeeError'" in found["whole-frames"][1]
    assert found["whole-calls"][0] == "fail" and "used before" in found["whole-calls"][1]
    assert without["whole-frames"][0] == "pass"


def test_a_central_system_that_takes_plain_http_on_the_port_of_tls() -> None:
    with FaultyCSMS("open-door") as csms:
        peer = CentralSystem(csms.url.replace("ws:", "wss:"), "CP_1")
        cases = choose(cases_of(CSMS), ["handshake-plain-to-tls"])
        (outcome,) = Runner(peer).run(CSMS, cases, ["1.6"]).outcomes

    assert (outcome.verdict, outcome.reason) == ("fail", "it was accepted without TLS")


def test_a_central_system_with_old_tls_alone(tmp_path: Path) -> None:
    pytest.importorskip("trustme")
    context = TestPKI(folder=tmp_path).server_context()
    try:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
    except (ssl.SSLError, ValueError):
        pytest.skip("this Python has no TLS 1.1")
    with FaultyCSMS(tls=context) as csms:
        peer = CentralSystem(csms.url, "CP_1")
        cases = choose(cases_of(CSMS), ["handshake-tls-*"])
        outcomes = Runner(peer).run(CSMS, cases, ["1.6"]).outcomes

    old, suites = outcomes
    assert suites.verdict == "fail"
    assert old.verdict == "fail" or "cannot" in old.reason


def test_every_case_has_a_fault_that_it_finds() -> None:
    names = {
        each.partition(":")[0]
        for _, verdicts, ids in FOUND
        if verdicts != "pass"
        for each in ids.split()
        if not each.endswith(":pass")
    }
    known = {case.id for case in cases_of(CSMS) if not case.id.startswith("message-")}
    assert known - names - APART == set()
