"""All cases for central systems against whole central systems: this library's, and two others.

The faults of the others are those that docs/check.md tells of. Look at each new one: a case may be wrong.
"""

import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Sequence, Set

import pytest

from ocppj import Server
from ocppj.cli.answers import Answers
from ocppj.conformance.cases import CSMS, cases_of
from ocppj.conformance.csms.link import Patience
from ocppj.conformance.csms.peer import CentralSystem
from ocppj.conformance.outcomes import Outcome
from ocppj.conformance.runner import Runner
from ocppj.conformance.verdicts import FAIL, NOT_APPLICABLE, SUSPICIOUS
from ocppj.testing.scripted import profiles_of
from tests.helpers import seconds

HERE = Path(__file__).resolve().parent
ALL = ("1.6", "2.0.1", "2.1")


def check(
    peer: Callable[[str], CentralSystem],
    versions: Sequence[str] = ALL,
    *,
    patience: float = 5.0,
    apart: str = "none",
    every: bool = False,
) -> List[Outcome]:
    """Run all cases but those whose ids begin with ``apart``: over the first version, or ``every`` one.

    Each version has an identity of its own, so that they run at the same time.
    """
    outcomes: List[Outcome] = []

    def run(version: str) -> None:
        central = peer(version)
        central.patience = Patience(seconds(patience), straggling=0.005)
        cases = [each for each in cases_of(CSMS) if not each.id.startswith(apart)]
        cases = [each for each in cases if every or version == versions[0] or not each.once]
        report = Runner(central, factor=seconds(2)).run(CSMS, cases, [version])
        assert report.ended == ""
        outcomes.extend(report.outcomes)

    threads = [threading.Thread(target=run, args=(version,)) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(60))
        assert not thread.is_alive()
    return outcomes


def found(outcomes: List[Outcome], verdict: str) -> Dict[str, Set[str]]:
    """Return the ids of the cases with a verdict, by the version."""
    return {
        version: {each.case.id for each in outcomes if (each.verdict, each.version) == (verdict, version)}
        for version in ALL
    }


def test_this_library_keeps_all_rules() -> None:
    passwords = {f"CP_{version}": f"password of {version}" for version in ALL}
    server = Server(profiles=[profile for version in ALL for profile in profiles_of(version)])
    server.set_request_handler(Answers())
    server.set_basic_auth_handler(passwords)
    with server.listen(0, "/ocpp/{id}", "127.0.0.1"):
        outcomes = check(
            lambda version: CentralSystem(server.url, f"CP_{version}", password=passwords[f"CP_{version}"]), every=True
        )

    assert [(each.case.id, each.version, each.reason) for each in outcomes if each.verdict == FAIL] == []
    # The answers of `ocppj serve` let everybody charge, and forget a StartTransaction that comes again.
    lenient = {"v16-authorize-unknown", "v16-start-retry", "v16-start-unknown-tag"}
    lenient |= {"v2-authorize-unknown", "v2-authorize-key-code", "v2-transaction-unknown-token"}
    assert set().union(*found(outcomes, SUSPICIOUS).values()) <= lenient
    # It sends no CALLs of its own, remembers the boots, and has no TLS here.
    apart = {"session-before-boot", "session-one-call", "session-crossing", "whole-calls"}
    apart |= {"handshake-plain-to-tls", "handshake-tls-old", "handshake-tls-suites"}
    assert set().union(*found(outcomes, NOT_APPLICABLE).values()) <= apart


@contextmanager
def program(*words: str) -> Iterator[str]:
    """Run a central system in a process of its own, and give its URL."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        match = re.search(r"ws://\S+", process.stdout.readline())
        assert match is not None
        yield match[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


#: What fails with the package `ocpp` 2.1.0, and why: docs/check.md.
OF_PACKAGE = {
    "1.6": {
        *("rpc-two", "rpc-three", "rpc-five", "rpc-payload-null"),
        *("payload-list-empty", "payload-enum", "payload-enum-case", "payload-extra", "payload-extra-nested"),
        "whole-frames",
    },
    "2.0.1": {"payload-time", "session-time-form"},
    "2.1": {"payload-time", "session-time-form", "v2-security-event", "v2-certificate-status"},
}


def test_the_package_ocpp() -> None:
    pytest.importorskip("ocpp")
    pytest.importorskip("websockets")
    with program(sys.executable, str(HERE / "package_csms.py"), "0") as url:
        # In 2.1 no message without a handler is answered. There is no use in waiting for each.
        outcomes = check(lambda version: CentralSystem(url, f"CP_{version}"), patience=1.0, apart="message-")

    failed = found(outcomes, FAIL)
    assert failed["1.6"] <= OF_PACKAGE["1.6"]
    assert failed["2.0.1"] <= OF_PACKAGE["2.0.1"]
    assert failed["2.1"] <= OF_PACKAGE["2.1"]
    assert "rpc-payload-null" in failed["1.6"]  # it is still there: else the page is out of date


#: What fails with the package `ocpp-rpc` 2.2.1, and why: docs/check.md.
OF_RPC = {
    "1.6": {
        *("handshake-no-common-version", "rpc-json", "rpc-json-rest", "rpc-nan", "rpc-object"),
        *("rpc-empty-array", "rpc-text", "rpc-null", "rpc-type-unknown", "rpc-type-zero", "rpc-type-of-2.1"),
        *("rpc-type-text", "rpc-id-number", "rpc-id-null", "rpc-id-list", "rpc-two", "rpc-action-number"),
        *("rpc-payload-null", "rpc-big-number", "payload-missing", "payload-empty", "payload-nested", "whole-frames"),
    },
    "2.0.1": {
        *("handshake-compression", "rpc-error-form", "payload-missing", "payload-empty", "payload-list-empty"),
        *("payload-nested", "whole-frames"),
    },
}


def test_the_package_ocpp_rpc() -> None:
    folder = os.environ.get("OCPP_RPC_FOLDER", str(HERE.parent.parent))
    node = shutil.which("node")
    if node is None or not (Path(folder) / "node_modules" / "ocpp-rpc").exists():
        pytest.skip("there is no node, or no ocpp-rpc: npm install ocpp-rpc, and set OCPP_RPC_FOLDER")
    with program(node, str(HERE / "rpc_csms.js"), "0", folder) as url:
        outcomes = check(lambda version: CentralSystem(url, f"CP_{version}"), ("1.6", "2.0.1"))

    failed = found(outcomes, FAIL)
    assert failed["1.6"] <= OF_RPC["1.6"]
    assert failed["2.0.1"] <= OF_RPC["2.0.1"]
