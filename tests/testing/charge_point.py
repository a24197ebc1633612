"""A small charge point (OCPP 1.6) to test the kit with: it boots, charges when it is told to, and keeps its connection.

It has no thread that waits: what comes next is done when an answer has come, or by a timer. So it works with any clock.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Callable, List, Optional

from ocppj import Backoff, Client, Clock, NotConnected, SystemClock, v16
from ocppj.ws.memory import MemoryNetwork
from tests.helpers import seconds

START = seconds(0.2)  # seconds until it connects: a process of its own takes about as long to start
SAMPLE = 0.2  # seconds between two meter values
RETRY = 0.4  # seconds until a request is made again that had no answer, or an error


class ChargePoint:
    """A charge point with one connector."""

    def __init__(
        self,
        url: str,
        id: str = "CP_1",
        *,
        network: Optional[MemoryNetwork] = None,
        clock: Optional[Clock] = None,
        timeout: float = 1.0,
    ) -> None:
        self.clock: Clock = SystemClock() if clock is None else clock
        backoff = Backoff(0.1, 0.0, 1)
        options: Any = {"backoff": backoff}
        if network is not None:
            options = {"ws_client": network.client(clock=self.clock, backoff=backoff)}
        self.client = Client(id, profiles=v16.PROFILES, clock=self.clock, timeout=timeout, resend=True, **options)
        self.url = url
        self.transaction_id: Optional[int] = None
        self._booting = False
        self._timers: List[Any] = []
        self.client.set_connected_handler(self._connected)
        self.client.on(v16.RemoteStartTransactionRequest)(self._remote_start)
        # Once the answer is on the wire: a test may cut the connection when the transaction begins.
        self.client.after(v16.RemoteStartTransactionRequest)(lambda request: self.start(request.id_tag))
        self.client.on(v16.RemoteStopTransactionRequest)(self._remote_stop)
        self.client.on(v16.GetConfigurationRequest)(self._get_configuration)
        self.client.on(v16.TriggerMessageRequest)(self._trigger)

    def __enter__(self) -> "ChargePoint":
        self._later(START, lambda: self.client.connect(self.url, retry=True, wait=False))
        return self

    def __exit__(self, *error: object) -> None:
        for timer in self._timers:
            timer.cancel()
        self.client.stop()

    # Boot

    def _connected(self) -> None:
        if not self._booting:
            self._booting = True
            self._boot()

    def _boot(self) -> None:
        self._ask(v16.BootNotificationRequest("Acme", "One"), self._booted, self._boot)

    def _booted(self, response: Any) -> None:
        if response.status != "Accepted":
            self._later(response.interval, self._boot)
            return
        for connector_id in (0, 1):
            self._tell_status(connector_id, "Available")
        self._beat(response.interval)

    def _beat(self, interval: float) -> None:
        def beat() -> None:
            self._ask(v16.HeartbeatRequest())
            self._beat(interval)

        self._later(interval, beat)

    # Charging

    def _remote_start(self, request: Any) -> Any:
        return v16.RemoteStartTransactionResponse(status="Accepted")

    def start(self, id_tag: str = "T") -> None:
        """Begin a transaction."""
        self._tell_status(1, "Preparing")
        request = v16.StartTransactionRequest(connector_id=1, id_tag=id_tag, meter_start=0, timestamp=self._now())
        self._ask(request, self._started, lambda: self.start(id_tag))

    def _started(self, response: Any) -> None:
        self.transaction_id = response.transaction_id
        self._tell_status(1, "Charging")
        self._sample()

    def _sample(self) -> None:
        if self.transaction_id is not None:
            value = v16.MeterValue(self._now(), [v16.SampledValue("1")])
            self._ask(v16.MeterValuesRequest(1, [value], self.transaction_id))
            self._later(SAMPLE, self._sample)

    def _remote_stop(self, request: Any) -> Any:
        if request.transaction_id != self.transaction_id:
            return v16.RemoteStopTransactionResponse(status="Rejected")
        transaction_id, self.transaction_id = self.transaction_id, None
        stop = v16.StopTransactionRequest(
            meter_stop=1, timestamp=self._now(), transaction_id=transaction_id, reason="Remote"
        )
        self._later(0, lambda: self._ask(stop))
        return v16.RemoteStopTransactionResponse(status="Accepted")

    # The rest

    def _get_configuration(self, request: Any) -> Any:
        return v16.GetConfigurationResponse(configuration_key=[v16.KeyValue("HeartbeatInterval", False, "300")])

    def _trigger(self, request: Any) -> Any:
        self._later(0, lambda: self._ask(v16.HeartbeatRequest()))
        return v16.TriggerMessageResponse(status="Accepted")

    def _tell_status(self, connector_id: int, status: str) -> None:
        self._ask(v16.StatusNotificationRequest(connector_id, "NoError", status))

    def _now(self) -> datetime:
        return self.clock.now()

    def _ask(
        self,
        request: Any,
        then: Callable[[Any], object] = lambda response: None,
        again: Optional[Callable[[], object]] = None,
    ) -> None:
        """Send a request. Call ``then`` with its response, or ``again`` some time after it has failed."""

        def ended(future: Any) -> None:
            if future.cancelled():
                return
            if future.exception() is None:
                then(future.result())
            elif again is not None:
                self._later(RETRY, again)

        try:
            self.client.send_request(request).add_done_callback(ended)
        except NotConnected:  # it was stopped
            pass

    def _later(self, seconds: float, job: Callable[[], object]) -> None:
        self._timers.append(self.clock.call_later(seconds, lambda: job() and None, "charge-point"))
