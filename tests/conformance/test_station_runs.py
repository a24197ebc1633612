"""The cases for charging stations against stations of other packages.

Their faults are those that docs/check.md tells of. Look at each new one: a case may be wrong.
"""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ocppj.conformance.cases import STATION, cases_of, choose
from ocppj.conformance.runner import Runner
from ocppj.conformance.station.peer import Settings, StationPeer
from tests.helpers import seconds

pytestmark = pytest.mark.timeout(seconds(180))
HERE = Path(__file__).resolve().parent
#: What a program made with a package shows of the package. Boots and resets are the program's own.
GROUPS = ("handshake-after-*", "rpc-*", "frames-*", "config-*", "variables-*", "data-*", "availability-*", "own-*")


def failures(words, versions=("1.6", "2.0.1")):
    """Run a station of each version, which is given its URL and the version. Return the ids of what fails."""
    failed = {}

    def run(version):
        kept = Settings(with_boot=False, wait=seconds(40), answer=seconds(2), brief=seconds(0.3), quiet=seconds(0.1))
        with StationPeer(versions=[version], settings=kept) as peer:
            station = subprocess.Popen([*words, peer.url, version], stderr=subprocess.DEVNULL)
            try:
                peer.first()
                report = Runner(peer).run(STATION, choose(cases_of(STATION), GROUPS), [version])
            finally:
                station.kill()
                station.wait()
        assert report.ended == ""
        failed[version] = {each.case.id for each in report.outcomes if each.verdict == "fail"}

    threads = [threading.Thread(target=run, args=(version,)) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(150))
    assert set(failed) == set(versions)
    return failed


#: What these programs do not have: they have two keys, or one variable, and tell no status.
OF_PROGRAMS = {
    "config-required",
    "config-profiles",
    "availability-connector",
    "availability-station",
    "variables-required",
    "variables-set-type",
}


def test_the_package_ocpp():
    pytest.importorskip("ocpp")
    pytest.importorskip("websockets")
    failed = failures([sys.executable, str(HERE / "package_station.py")])
    assert failed["1.6"] - OF_PROGRAMS <= {"rpc-unknown-action", "own-errors"}
    assert failed["2.0.1"] - OF_PROGRAMS <= {"rpc-unknown-action"}
    assert "rpc-unknown-action" in failed["1.6"]  # it is still there: else the page is out of date


def test_the_package_ocpp_rpc():
    folder = os.environ.get("OCPP_RPC_FOLDER", str(HERE.parent.parent))
    node = shutil.which("node")
    if node is None or not (Path(folder) / "node_modules" / "ocpp-rpc").exists():
        pytest.skip("there is no node, or no ocpp-rpc: npm install ocpp-rpc, and set OCPP_RPC_FOLDER")
    failed = failures([node, str(HERE / "rpc_station.js"), folder])
    assert failed["1.6"] - OF_PROGRAMS <= {"own-errors"}
    assert failed["2.0.1"] - OF_PROGRAMS <= {"own-errors"}
