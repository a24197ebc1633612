"""`Server.require_boot`: before its BootNotification was accepted, a charge point may send nothing else.

1.6 edition 2 section 4.2; OCPP 2.x Part 2, B01.FR.10, B02.FR.02 and FR.09, B03.FR.07.
"""

import threading

import pytest

from ocppj import Client, OCPPError, Server, UsageError, v16, v21, v201
from tests.fixtures import NOW, boot_of
from tests.helpers import Recorder, eventually, seconds
from tests.peers import RawClient, Sockets

VERSIONS = {"ocpp1.6": v16, "ocpp2.0.1": v201, "ocpp2.1": v21}
STATUSES = {
    "ocpp1.6": {"connectorId": 1, "errorCode": "NoError", "status": "Available"},
    "ocpp2.0.1": {
        "timestamp": "2026-01-01T00:00:00Z", "connectorStatus": "Available", "evseId": 1, "connectorId": 1,
    },
    "ocpp2.1": {
        "timestamp": "2026-01-01T00:00:00Z", "connectorStatus": "Available", "evseId": 1, "connectorId": 1,
    },
}  # fmt: skip


class Site:
    """A server that requires a boot and answers all it is asked, and a charge point that says what it is told to."""

    def __init__(self, subprotocol, **gate):
        self.subprotocol, self.module = subprotocol, VERSIONS[subprotocol]
        self.status = "Accepted"
        self.handled = Recorder()
        self.count = 0
        self.server = Server(profiles=self.module.PROFILES, timeout=seconds(10))
        self.server.require_boot(**gate)
        module = self.module

        @self.server.on(module.BootNotificationRequest)
        def boot(client_id, request):
            return module.BootNotificationResponse(current_time=NOW, interval=10, status=self.status)

        @self.server.on(module.HeartbeatRequest)
        def heartbeat(client_id, request):
            self.handled("Heartbeat")
            return module.HeartbeatResponse(current_time=NOW)

        @self.server.on(module.StatusNotificationRequest)
        def status(client_id, request):
            self.handled("StatusNotification")
            return module.StatusNotificationResponse()

        self.server.listen(host="127.0.0.1")
        self.raw = self.connect()

    def connect(self):
        raw = RawClient(Sockets(), self.server.url, "CP_1", [self.subprotocol])
        eventually(lambda: self.server.client_ids() == ["CP_1"])
        return raw

    def reconnect(self):
        self.raw.stop()
        eventually(lambda: not self.server.client_ids())
        self.raw = self.connect()

    def ask(self, action, payload=None):
        """Return the error code of the answer, or ``None`` for a result."""
        self.count += 1
        answer = self.raw.ask([2, f"m{self.count}", action, payload or {}])
        assert answer[1] == f"m{self.count}"
        return answer[2] if answer[0] == 4 else None

    def boot(self, status):
        self.status = status
        assert self.ask("BootNotification", boot_of(self.module).to_wire()) is None

    def request(self, request, status="Accepted"):
        """Send the charge point a request, which it accepts."""
        future = self.server.send_request("CP_1", request)
        self.raw.send([3, self.raw.receive()[1], {"status": status}])
        future.result(seconds(10))

    def heartbeat(self):
        return self.ask("Heartbeat")

    def notify(self):
        return self.ask("StatusNotification", STATUSES[self.subprotocol])

    def stop(self):
        self.raw.stop()
        self.server.stop()


@pytest.fixture(params=VERSIONS)
def make_site(request):
    sites = []

    def make(**gate):
        sites.append(Site(request.param, **gate))
        return sites[-1]

    yield make
    for site in sites:
        site.stop()


@pytest.fixture
def site(make_site):
    return make_site()


REFUSED = "SecurityError"


def test_nothing_is_handled_before_the_boot_and_everything_after(site):
    assert (site.heartbeat(), site.notify()) == (REFUSED, REFUSED)
    assert site.handled.calls == []
    site.boot("Accepted")
    assert (site.heartbeat(), site.notify()) == (None, None)
    assert len(site.handled.calls) == 2


@pytest.mark.parametrize("status", ["Pending", "Rejected"])
def test_a_boot_that_is_not_accepted_lets_nothing_through_until_one_is(site, status):
    site.boot(status)
    assert (site.heartbeat(), site.notify()) == (REFUSED, REFUSED)
    site.boot("Accepted")
    assert site.heartbeat() is None


def test_a_later_boot_that_is_not_accepted_closes_the_gate_again(site):
    for status, expected in [("Accepted", None), ("Pending", REFUSED), ("Accepted", None), ("Rejected", REFUSED)]:
        site.boot(status)
        assert site.heartbeat() == expected


def test_an_action_that_nobody_handles_is_refused_like_the_others(site):
    payload = {"vendorId": "V"}
    assert site.ask("DataTransfer", payload) == REFUSED
    site.boot("Accepted")
    assert site.ask("DataTransfer", payload) == "NotSupported"


def test_a_reconnect_needs_no_new_boot(site):
    site.boot("Accepted")
    site.reconnect()
    assert site.heartbeat() is None


def test_a_reconnect_of_a_rejected_charge_point_opens_nothing(site):
    site.boot("Rejected")
    site.reconnect()
    assert site.heartbeat() == REFUSED


def trigger(site, message, **options):
    return site.module.TriggerMessageRequest(requested_message=message, **options)


@pytest.mark.parametrize("boot", ["Pending", None])
def test_what_a_trigger_asked_for_is_let_through_and_nothing_else(site, boot):
    if boot is not None:
        site.boot(boot)
    site.request(trigger(site, "StatusNotification"))
    assert (site.notify(), site.notify()) == (None, None), "one for each connector"
    assert site.heartbeat() == REFUSED
    site.request(trigger(site, "Heartbeat"))
    assert (site.heartbeat(), site.notify()) == (None, None)


def test_a_rejected_charge_point_may_not_even_send_what_it_was_asked_for(site):
    site.boot("Rejected")
    site.request(trigger(site, "Heartbeat"))
    assert site.heartbeat() == REFUSED


def test_what_was_asked_for_is_forgotten_with_the_next_answer(site):
    site.boot("Pending")
    site.request(trigger(site, "Heartbeat"))
    assert site.heartbeat() is None
    site.boot("Rejected")
    site.boot("Pending")
    assert site.heartbeat() == REFUSED


def test_a_pending_charge_point_that_boots_again_may_go_on_with_what_it_was_asked_for(site):
    site.boot("Pending")
    site.request(trigger(site, "Heartbeat"))
    site.boot("Pending")
    assert site.heartbeat() is None


REPORT = {"requestId": 1, "generatedAt": "2026-01-01T00:00:00Z", "seqNo": 0}
SIGN = {"csr": "text"}


ASKED = [
    (v201.GetBaseReportRequest(request_id=1, report_base="FullInventory"), "NotifyReport", REPORT),
    (v201.GetReportRequest(request_id=1), "NotifyReport", REPORT),
    (v201.TriggerMessageRequest(requested_message="SignChargingStationCertificate"), "SignCertificate", SIGN),
    (v201.TriggerMessageRequest(requested_message="SignV2GCertificate"), "SignCertificate", SIGN),
    (v201.TriggerMessageRequest(requested_message="FirmwareStatusNotification"), "FirmwareStatusNotification",
     {"status": "Idle"}),
    (v21.GetBaseReportRequest(request_id=1, report_base="SummaryInventory"), "NotifyReport", REPORT),
    (v21.TriggerMessageRequest(requested_message="SignV2G20Certificate"), "SignCertificate", SIGN),
    (v21.TriggerMessageRequest(requested_message="CustomTrigger", custom_trigger="x"), "DataTransfer",
     {"vendorId": "V"}),
    (v16.TriggerMessageRequest(requested_message="DiagnosticsStatusNotification"), "DiagnosticsStatusNotification",
     {"status": "Idle"}),
    (v16.ExtendedTriggerMessageRequest(requested_message="SignChargePointCertificate"), "SignCertificate", SIGN),
    (v16.ExtendedTriggerMessageRequest(requested_message="FirmwareStatusNotification"),
     "SignedFirmwareStatusNotification", {"status": "Idle", "requestId": 1}),
    (v16.ExtendedTriggerMessageRequest(requested_message="LogStatusNotification"), "LogStatusNotification",
     {"status": "Idle", "requestId": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "action", "payload"), ASKED, ids=range(len(ASKED)))
def test_each_thing_that_may_be_asked_for(request_, action, payload):
    module = {"v16": "ocpp1.6", "v201": "ocpp2.0.1", "v21": "ocpp2.1"}[type(request_).__module__.split(".")[1]]
    site = Site(module)
    try:
        site.boot("Pending")
        assert site.ask(action, payload) == REFUSED
        site.request(request_)
        assert site.ask(action, payload) == "NotSupported", "it came as far as the handler, which is none"
        if action != "DataTransfer":
            assert site.heartbeat() == REFUSED
    finally:
        site.stop()


def test_a_message_that_was_asked_for_may_come_before_the_answer(site):
    site.boot("Pending")
    future = site.server.send_request("CP_1", trigger(site, "Heartbeat"))
    message_id = site.raw.receive()[1]
    assert site.heartbeat() is None
    site.raw.send([3, message_id, {"status": "Accepted"}])
    assert future.result(seconds(10)).status == "Accepted"


# A restarted server


def test_a_known_charge_point_is_let_through_and_asked_for_once(make_site):
    known = Recorder(True)
    site = make_site(is_known=known)
    assert (site.heartbeat(), site.notify()) == (None, None)
    site.reconnect()
    assert site.heartbeat() is None
    assert known.calls == [("CP_1",)]
    site.boot("Rejected")
    assert site.heartbeat() == REFUSED, "what is known here counts more"


def test_an_unknown_one_is_asked_for_again(make_site):
    known = set()
    site = make_site(is_known=lambda client_id: client_id in known)
    assert site.heartbeat() == REFUSED
    known.add("CP_1")
    assert site.heartbeat() is None


def test_an_is_known_that_fails_is_an_internal_error_and_refuses_no_boot(make_site, caplog):
    def fail(client_id):
        raise OSError("no database")

    site = make_site(is_known=fail)
    assert site.heartbeat() == "InternalError"
    assert "no database" in caplog.text
    site.boot("Accepted")
    assert site.heartbeat() is None


@pytest.mark.filterwarnings("error")
def test_a_coroutine_in_place_of_an_answer_lets_nothing_through(make_site, caplog):
    async def later(client_id):
        return False

    site = make_site(is_known=lambda client_id: later(client_id))
    assert site.heartbeat() == "InternalError"
    assert "returned a coroutine, which nothing awaits" in caplog.text


# Switching it


def test_it_can_be_taken_away_and_set_again(site):
    gate = site.server.require_boot()
    assert site.heartbeat() == REFUSED
    site.server.remove_before(gate)
    assert site.heartbeat() is None
    site.server.require_boot()
    assert site.heartbeat() == REFUSED
    site.server.require_boot(is_known=lambda client_id: True)
    assert site.heartbeat() is None


def test_a_boot_before_it_was_required_counts():
    site = Site("ocpp1.6")
    try:
        site.server.remove_before(site.server.require_boot())
        site.boot("Accepted")
        site.server.require_boot()
        assert site.heartbeat() is None
    finally:
        site.stop()


@pytest.mark.parametrize("wrong", ["CP_1", {"CP_1"}, lambda: True, lambda client_id, more: True], ids=range(4))
def test_is_known_is_a_function_of_the_id(wrong):
    with pytest.raises(UsageError, match=r"f\(client_id\)"):
        Server(profiles=v16.PROFILES).require_boot(is_known=wrong)


def test_is_known_is_no_async_function():
    async def known(client_id):
        return True

    with pytest.raises(UsageError, match="async function"):
        Server(profiles=v16.PROFILES).require_boot(is_known=known)


def test_the_log_warns_of_each_charge_point_once(site, caplog):
    for _ in range(5):
        site.heartbeat()
    warnings = [each for each in caplog.records if "refused with SecurityError" in each.getMessage()]
    assert [each.levelname for each in warnings] == ["WARNING"]
    assert warnings[0].getMessage().startswith("CP_1: Heartbeat is refused")


def test_what_an_accepted_charge_point_sent_before_it_left_is_handled(site):
    """The last message of a transaction must not be lost, because its connection ended before its turn came."""
    site.boot("Accepted")
    hold, begun = threading.Event(), Recorder()

    @site.server.on(site.module.HeartbeatRequest)
    def block(client_id, request):
        begun(client_id)
        assert hold.wait(seconds(10))
        return site.module.HeartbeatResponse(current_time=NOW)

    site.raw.send([2, "1", "Heartbeat", {}])
    begun.wait()
    site.raw.send([2, "2", "StatusNotification", STATUSES[site.subprotocol]])
    site.raw.stop()
    eventually(lambda: not site.server.client_ids())
    hold.set()
    assert site.handled.wait() == [("StatusNotification",)]


def test_each_charge_point_has_its_own_gate(site):
    site.boot("Accepted")
    with RawClient(Sockets(), site.server.url, "CP_2", [site.subprotocol]) as other:
        assert other.ask([2, "1", "Heartbeat", {}])[2] == REFUSED
    assert site.heartbeat() is None


def test_a_boot_that_is_answered_later_opens_the_gate_before_the_answer_can_be_seen(make_site):
    """The charge point may send its next request at once, while another thread has just written the answer."""
    site = make_site()
    module, ids = site.module, Recorder()
    site.server.on(module.BootNotificationRequest, pass_id=True)(lambda client_id, request, message_id: ids(message_id))
    for number in range(20):
        site.raw.send([2, f"b{number}", "BootNotification", boot_of(site.module).to_wire()])
        ids.wait(number + 1)
        status = "Accepted" if number % 2 else "Rejected"
        response = module.BootNotificationResponse(current_time=NOW, interval=10, status=status)
        thread = threading.Thread(target=site.server.send_response, args=("CP_1", f"b{number}", response))
        thread.start()
        assert site.raw.receive()[1] == f"b{number}"
        assert site.heartbeat() == (None if status == "Accepted" else REFUSED)
        thread.join(seconds(10))


@pytest.mark.parametrize("module", [v16, v201, v21], ids=["1.6", "2.0.1", "2.1"])
def test_our_own_client_gets_a_security_error_and_then_boots(module):
    server = Server(profiles=module.PROFILES)
    server.require_boot()
    server.on(module.HeartbeatRequest)(lambda client_id, request: module.HeartbeatResponse(current_time=NOW))
    server.on(module.BootNotificationRequest)(
        lambda client_id, request: module.BootNotificationResponse(current_time=NOW, interval=1, status="Accepted")
    )
    with server.listen(host="127.0.0.1"), Client("CP_1", profiles=module.PROFILES).connect(server.url) as client:
        with pytest.raises(OCPPError, match="SecurityError"):
            client.call(module.HeartbeatRequest())
        client.call(boot_of(module))
        assert client.call(module.HeartbeatRequest()).current_time == NOW
