"""`PrometheusMetrics`: the figures of ``server.stats()`` for Prometheus. It needs the extra ``metrics``.

Nothing is done for a message. The figures are read when Prometheus asks. Where several processes serve one address, as
under gunicorn, any of them may be asked, and must answer for all (``PROMETHEUS_MULTIPROC_DIR`` is set). Then each
writes its figures to the files of prometheus_client every few seconds, and a ``MultiProcessCollector`` adds them up.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Protocol,
    Set,
    Tuple,
)

from .errors import UsageError
from .events import Event, Thread
from .exchange.exits import call_last, forget_last
from .interrupted import called_by_program, calls_program
from .log_limit import safe_log
from .option_checks import check_option
from .ws.stats import Histogram, Stats

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

__all__ = ["PrometheusMetrics"]


class _HasStats(Protocol):
    def stats(self) -> Stats: ...


class _Family(NamedTuple):
    """The figures of one name. A value is a number, or a `Histogram`. Each has as many labels as there are names."""

    kind: str  # "gauge", "counter" or "histogram"
    name: str
    help: str
    labels: Tuple[str, ...]
    values: Mapping[Tuple[str, ...], Any]


class PrometheusMetrics:
    """Shows the figures of ``server`` to Prometheus. docs/metrics.md lists them.

    Use one object for each server. It asks for the figures on the thread that collects; they take no time before. With
    ``PROMETHEUS_MULTIPROC_DIR`` in the environment it registers nothing. A thread ``ocppj-metrics`` writes the figures
    to the files in that directory instead: at once, every ``interval`` seconds, and in `close`, which is also called
    at the end of the process, after the servers and clients are stopped. A process that is forked later begins at 0,
    with a thread of its own, when ``server`` begins to listen or connect there.

    Args:
        server: A `Server`, a `Client`, or anything whose ``stats()`` returns `ocppj.ws.stats.Stats`.
        registry: Where to register; ``None``: in ``prometheus_client.REGISTRY``. Not used with
            ``PROMETHEUS_MULTIPROC_DIR``.
        prefix: The beginning of all names. Two servers of one registry need different ones.
        interval: Seconds between two writes, with ``PROMETHEUS_MULTIPROC_DIR``.

    Raises:
        UsageError: prometheus_client is not installed, or ``server`` has no ``stats()``.
        ValueError: The registry has these names already.
    """

    @called_by_program  # the default registry collects at once
    def __init__(
        self,
        server: _HasStats,
        registry: Optional["CollectorRegistry"] = None,
        prefix: str = "ocppj",
        interval: float = 5.0,
    ) -> None:
        _check_installed()
        check_option("PrometheusMetrics", "interval", interval)
        if not callable(getattr(server, "stats", None)):
            raise UsageError(f"metrics are those of a Server or a Client, not of {type(server).__name__}")
        self._server = server
        self._prefix = prefix
        self._registry: Optional[CollectorRegistry] = None
        self._writer: Optional[_FileWriter] = None
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            self._writer = _FileWriter(self._families, interval, getattr(server, "_when_begun", None))
            self._writer.start()
        else:
            self._registry = _default_registry() if registry is None else registry
            self._registry.register(self)

    def close(self) -> None:
        """Take the figures away from the registry; or write them once more, and end the thread. Again: nothing."""
        registry, self._registry = self._registry, None
        if registry is not None:
            registry.unregister(self)
        if self._writer is not None:
            self._writer.stop()

    @called_by_program
    def collect(self) -> Iterator["Metric"]:
        """Yield the figures; what a registry calls, on the thread that collects."""
        for family in self._families():
            yield _metric_of(family)

    @called_by_program
    def _families(self) -> Iterator[_Family]:
        return _families(self._prefix, self._server.stats())


def _families(prefix: str, stats: Stats) -> Iterator[_Family]:
    def family(kind: str, name: str, words: str, values: Mapping[Tuple[str, ...], Any], *labels: str) -> _Family:
        return _Family(kind, f"{prefix}_{name}", words, labels, values)

    yield family("gauge", "connections", "Connections now", _by_one(stats.versions), "version")
    yield family("gauge", "handshakes", "Handshakes in progress", {(): stats.handshakes})
    yield family("counter", "accepted_connections", "Connections that were made", {(): stats.accepted})
    yield family("counter", "closed_connections", "Connections that ended", _by_one(stats.closed), "how")
    yield family("counter", "refusals", "What was refused", _by_one(stats.refused), "reason")
    yield family("counter", "probes", "Connections of load balancers and monitoring", _by_one(stats.probes), "kind")
    yield family("counter", "reconnects", "Connections of clients that came back", {(): stats.reconnects})
    yield family("counter", "messages", "OCPP-J frames", _by_three(stats.messages), "direction", "kind", "action")
    yield family("counter", "errors", "OCPP-J errors", _by_two(stats.errors), "direction", "code")
    calls, handlers = _by_one(stats.call_seconds), _by_one(stats.handler_seconds)
    yield family("histogram", "call_seconds", "Time from a request to its answer", calls, "action")
    yield family("histogram", "handler_seconds", "Time that handlers ran", handlers, "action")
    yield family("gauge", "pending_requests", "Requests that wait for their answer", {(): stats.pending})
    yield family("gauge", "queued_requests", "Requests that wait to be sent", {(): stats.queued})
    yield family("counter", "timeouts", "Requests that ran out of time", {(): stats.timeouts})
    yield family("gauge", "held_bytes", "Bytes that are held for peers", _by_one(stats.held), "kind")
    yield family("gauge", "loaned_workers", "Shared threads that handlers block", {(): stats.loaned_workers})


def _by_one(values: Mapping[str, Any]) -> Dict[Tuple[str, ...], Any]:
    return {(key,): value for key, value in values.items()}


def _by_two(values: Mapping[str, Mapping[str, Any]]) -> Dict[Tuple[str, ...], Any]:
    return {(first, *rest): value for first, inner in values.items() for rest, value in _by_one(inner).items()}


def _by_three(values: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Dict[Tuple[str, ...], Any]:
    return {(first, *rest): value for first, inner in values.items() for rest, value in _by_two(inner).items()}


# prometheus_client


def _check_installed() -> None:
    try:
        import prometheus_client  # noqa: F401
    except ImportError as error:
        raise UsageError("metrics for Prometheus need prometheus_client: pip install 'ocppj[metrics]'") from error


def _default_registry() -> "CollectorRegistry":
    from prometheus_client import REGISTRY

    return REGISTRY


def _metric_of(family: _Family) -> "Metric":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    if family.kind == "histogram":
        histograms = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for labels, value in family.values.items():
            histograms.add_metric(labels, _cumulative(value), value.sum)
        return histograms
    make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = make(family.name, family.help, labels=family.labels)
    for labels, value in family.values.items():
        metric.add_metric(labels, value)
    return metric


def _bounds(histogram: Histogram) -> List[str]:
    """Return the upper ends of the ranges as Prometheus writes them."""
    from prometheus_client.utils import floatToGoString

    write: Callable[[float], str] = floatToGoString
    return [write(bound) for bound in (*histogram.bounds, float("inf"))]


def _cumulative(histogram: Histogram) -> List[Tuple[str, float]]:
    total, buckets = 0, []
    for bound, count in zip(_bounds(histogram), histogram.buckets):
        total += count
        buckets.append((bound, float(total)))
    return buckets


# Several processes


class _Sample(NamedTuple):
    """One line of a file, without its value."""

    kind: str
    family: str
    name: str
    labels: Tuple[str, ...]
    values: Tuple[str, ...]
    help: str


def _samples(family: _Family) -> Iterator[Tuple[_Sample, float]]:
    """Yield what a file has of ``family``: the ranges of a histogram one by one, not added up."""
    kind, name, words, labels, values = family
    total = "_total" if kind == "counter" else ""
    for of, value in values.items():
        if not isinstance(value, Histogram):
            yield _Sample(kind, name, name + total, labels, of, words), value
            continue
        yield _Sample(kind, name, f"{name}_sum", labels, of, words), value.sum
        for bound, count in zip(_bounds(value), value.buckets):
            yield _Sample(kind, name, f"{name}_bucket", (*labels, "le"), (*of, bound), words), count


class _FileWriter:
    """Writes the figures that ``ask`` returns to the files of this process.

    ``when_begun`` is the list of what is called when a session begins; ``None``: the object is none of ours.
    """

    def __init__(
        self,
        ask: Callable[[], Iterable[_Family]],
        interval: float,
        when_begun: Optional[List[Callable[[], object]]],
    ) -> None:
        self._ask = ask
        self._interval = interval
        self._when_begun = when_begun
        self._lock = threading.Lock()  # held while the figures are written, and while the process is forked
        self._values: Dict[_Sample, Any] = {}
        self._stopped = Event()
        self._held_for_fork: Set[int] = set()  # the idents of the threads that fork, and hold the lock
        self._begun = False  # in this process

    def start(self) -> None:
        """Write now, and from now on. Called once."""
        call_last(self.stop)
        _watch_forks(self)
        if self._when_begun is not None:
            self._when_begun.append(self.begin)
        self.begin()

    def begin(self) -> None:
        """Begin in this process, unless that was done."""
        if not self._begun and not self._stopped.is_set():
            self._begun = True
            self._write()
            self._start_thread()

    def stop(self) -> None:
        """Write once more, if this process has begun, and end the thread."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        forget_last(self.stop)
        with suppress(ValueError):  # another thread stops it, too
            (self._when_begun or []).remove(self.begin)
        if self._begun:
            self._write(last=True)

    # prometheus_client has a lock, too. So the process is not forked while the thread writes.

    def before_fork(self) -> None:
        if self._lock.acquire(timeout=1.0):
            self._held_for_fork.add(threading.get_ident())

    def after_fork_in_parent(self) -> None:
        if threading.get_ident() in self._held_for_fork:
            self._held_for_fork.remove(threading.get_ident())
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Begin anew: this process has no thread of its parent, and the lock is taken.

        Most forked processes never use the server. So nothing is written before it has a session here.
        """
        self._lock, self._held_for_fork = threading.Lock(), set()
        if self._stopped.is_set():
            return
        self._stopped = Event()
        self._begun = self._when_begun is None
        if self._begun:  # nobody can tell when it begins
            self._start_thread()

    def _start_thread(self) -> None:
        Thread(target=self._run, args=(self._stopped,), name="ocppj-metrics", daemon=True).start()

    def _run(self, stopped: Event) -> None:
        while not stopped.wait(self._interval):
            self._write()

    def _write(self, last: bool = False) -> None:
        try:
            samples = [sample for family in self._read() for sample in _samples(family)]
            with self._lock:
                if last or not self._stopped.is_set():  # the thread may have read them before the last ones
                    self._set(samples)
        except Exception as error:  # a disk that is full, say: the next write may succeed
            safe_log.error("the figures for Prometheus were not written: %s", error)

    @calls_program
    def _read(self) -> Iterable[_Family]:
        return self._ask()

    def _set(self, samples: Iterable[Tuple[_Sample, float]]) -> None:
        """Write ``samples``, and 0 for a gauge that is not among them any more. Lock held."""
        seen: Set[_Sample] = set()
        for sample, number in samples:
            seen.add(sample)
            value = self._values.get(sample)
            if value is None:
                value = self._values[sample] = _make_value(sample)
            value.set(float(number))
        for sample, value in self._values.items():
            if sample.kind == "gauge" and sample not in seen:
                value.set(0.0)


def _make_value(sample: _Sample) -> Any:
    """Return what prometheus_client writes to its file of this process; the sum of the live processes counts."""
    from prometheus_client.values import ValueClass

    kind, family, name, labels, values, words = sample
    return ValueClass(kind, family, name, labels, values, words, multiprocess_mode="livesum" if kind == "gauge" else "")


def _watch_forks(writer: _FileWriter) -> None:
    """Have ``writer`` hear of each fork of this process, as long as it is there."""
    if not hasattr(os, "register_at_fork"):  # Windows does not fork
        return
    reference = weakref.ref(writer)

    def tell(method: Callable[[_FileWriter], None]) -> None:
        alive = reference()
        if alive is not None:
            method(alive)

    os.register_at_fork(
        before=partial(tell, _FileWriter.before_fork),
        after_in_parent=partial(tell, _FileWriter.after_fork_in_parent),
        after_in_child=partial(tell, _FileWriter.after_fork_in_child),
    )
