"""The import of a version imports none of its types. They are imported on demand. Each test is a new process."""

import subprocess
import sys
import textwrap

from strategies import ROOT
from versions import Version, each_version

SEEN = """
def seen():
    "Return what is imported of the version's package."
    import sys
    return sorted(name[len(PACKAGE) + 1 :] for name in sys.modules if name.startswith(PACKAGE + "."))
"""


def run(version: Version, program: str) -> None:
    source = f"PACKAGE = {version.package.__name__!r}\n" + SEEN + textwrap.dedent(program).replace("vXY", version.name)
    done = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@each_version
def test_the_import_defines_no_types(version: Version) -> None:
    run(
        version,
        """
        import ocppj.vXY
        assert seen() == ["profiles"], seen()
        assert len(ocppj.vXY.PROFILES) > 1
        assert "BootNotificationRequest" in dir(ocppj.vXY)
        assert not hasattr(ocppj.vXY, "NoSuchMessage")
        assert seen() == ["profiles"], seen()
        getattr(ocppj.vXY, "RegistrationStatus" if PACKAGE == "ocppj.v16" else "RegistrationStatusEnum")
        assert seen() == ["enums", "profiles"], seen()
        from ocppj.vXY import BootNotificationRequest
        assert seen() == ["datatypes", "enums", "messages", "profiles"], seen()
        assert ocppj.vXY.__dict__["BootNotificationRequest"] is BootNotificationRequest
        """,
    )


@each_version
def test_an_endpoint_imports_the_types_when_a_message_needs_them(version: Version) -> None:
    run(
        version,
        """
        from ocppj import Endpoint, UnsupportedFeature, Payload
        from ocppj import vXY as version

        endpoint = Endpoint(version.PROFILES)
        assert endpoint.get_profile_for_feature("Heartbeat") is not None
        try:
            endpoint.create_call(Payload())
        except UnsupportedFeature:
            pass
        assert seen() == ["profiles"], seen()
        call = endpoint.parse_message([2, "1", "Heartbeat", {}], {})
        assert type(call.payload) is version.HeartbeatRequest, call
        assert endpoint.create_call(version.HeartbeatRequest()).action == "Heartbeat"
        """,
    )


@each_version
def test_an_action_may_be_used_in_another_version(version: Version) -> None:
    run(
        version,
        """
        import sys
        from ocppj import Endpoint, Feature, Profile
        from ocppj import vXY as version
        from ocppj.rpc.dialect import DIALECTS

        other = DIALECTS[DIALECTS.index(version.DIALECT) - 1]
        mixed = Profile("Mixed", other, Feature.bundled(version.DIALECT, "Heartbeat"), Feature.bundled(other, "Reset"))
        endpoint = Endpoint([mixed])
        assert endpoint.create_call(version.HeartbeatRequest()).action == "Heartbeat"
        assert not other.is_loaded
        assert endpoint.get_profile_for_feature("Reset") is mixed
        request = other.load_type("ResetRequest").from_wire({"type": "Immediate"})
        endpoint.set_message_validation(False)
        assert endpoint.create_call(request).action == "Reset"
        """,
    )


@each_version
def test_everything_can_be_imported_at_once(version: Version) -> None:
    run(
        version,
        """
        from ocppj.vXY import *
        assert BootNotificationRequest.__module__ == PACKAGE + ".messages"
        """,
    )


@each_version
def test_many_threads_may_import_the_types_at_once(version: Version) -> None:
    run(
        version,
        """
        import threading
        from ocppj import Endpoint
        from ocppj import vXY as version

        endpoint, found, failed = Endpoint(version.PROFILES), [], []
        ready = threading.Barrier(8)

        def work(number):
            ready.wait(10)
            try:
                if number % 2:
                    found.append(type(endpoint.parse_message([2, "1", "Heartbeat", {}], {}).payload))
                else:
                    endpoint.create_call(version.HeartbeatRequest())
            except Exception as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not failed, failed
        assert found == [version.HeartbeatRequest] * 4, found
        """,
    )
