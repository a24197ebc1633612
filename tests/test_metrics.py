"""`ocppj.metrics`: the figures of a server as Prometheus gets them, from one process and from several."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from ocppj import Client, Server, UsageError, v16
from ocppj.metrics import PrometheusMetrics
from ocppj.ws.stats import Histogram, Stats
from tests.fixtures import BEAT, HEARTBEAT, RESET, RESET_DONE
from tests.helpers import eventually, seconds
from tests.programs import run
from tests.test_cost import Direct, Peer
from tests.test_readme import ROOT

pytest.importorskip("prometheus_client", reason="metrics need prometheus_client: pip install 'ocppj[test]'")

from prometheus_client import CollectorRegistry, generate_latest

FIGURES = Stats(
    connections=3,
    handshakes=1,
    accepted=9,
    refused={"tls": 2},
    closed={"lost": 6},
    held={"queued": 512},
    loaned_workers=2,
    versions={"1.6": 2, "2.0.1": 1},
    messages={"received": {"CALL": {"Heartbeat": 5}}, "sent": {"CALLERROR": {"other": 4}}},
    errors={"received": {"InternalError": 1}, "sent": {"other": 4}},
    call_seconds={"Reset": Histogram(3, 2.5, (0.1, 1.0), (1, 0, 2))},
    handler_seconds={"Heartbeat": Histogram(1, 0.05, (0.1, 1.0), (1, 0, 0))},
    pending=1,
    queued=7,
    timeouts=8,
    reconnects=4,
    probes={"health": 5},
)
SHOWN = {
    'ocppj_connections{version="1.6"} 2.0',
    'ocppj_connections{version="2.0.1"} 1.0',
    "ocppj_handshakes 1.0",
    "ocppj_accepted_connections_total 9.0",
    'ocppj_closed_connections_total{how="lost"} 6.0',
    'ocppj_refusals_total{reason="tls"} 2.0',
    "ocppj_reconnects_total 4.0",
    'ocppj_probes_total{kind="health"} 5.0',
    'ocppj_messages_total{action="Heartbeat",direction="received",kind="CALL"} 5.0',
    'ocppj_messages_total{action="other",direction="sent",kind="CALLERROR"} 4.0',
    'ocppj_errors_total{code="InternalError",direction="received"} 1.0',
    'ocppj_errors_total{code="other",direction="sent"} 4.0',
    'ocppj_call_seconds_bucket{action="Reset",le="0.1"} 1.0',
    'ocppj_call_seconds_bucket{action="Reset",le="1.0"} 1.0',
    'ocppj_call_seconds_bucket{action="Reset",le="+Inf"} 3.0',
    'ocppj_call_seconds_count{action="Reset"} 3.0',
    'ocppj_call_seconds_sum{action="Reset"} 2.5',
    'ocppj_handler_seconds_bucket{action="Heartbeat",le="0.1"} 1.0',
    'ocppj_handler_seconds_bucket{action="Heartbeat",le="1.0"} 1.0',
    'ocppj_handler_seconds_bucket{action="Heartbeat",le="+Inf"} 1.0',
    'ocppj_handler_seconds_count{action="Heartbeat"} 1.0',
    'ocppj_handler_seconds_sum{action="Heartbeat"} 0.05',
    "ocppj_pending_requests 1.0",
    "ocppj_queued_requests 7.0",
    "ocppj_timeouts_total 8.0",
    'ocppj_held_bytes{kind="queued"} 512.0',
    "ocppj_loaned_workers 2.0",
}


class Fixed:
    """Stands in for a server that has counted ``FIGURES``."""

    def stats(self):
        return FIGURES


def lines(text):
    """Return the samples of an exposition, with the labels in the order of the alphabet."""
    found = set()
    for line in text.splitlines():
        name, labels, value = re.fullmatch(r"(\w+)(?:{(.*)})? (\S+)", line).groups() if line[0] != "#" else ("", "", "")
        if name:
            shown = ",".join(sorted(re.findall(r'\w+="[^"]*"', labels or "")))
            found.add(f"{name}{{{shown}}} {value}" if shown else f"{name} {value}")
    return found


def test_every_figure_is_shown():
    registry = CollectorRegistry()
    metrics = PrometheusMetrics(Fixed(), registry)
    assert lines(generate_latest(registry).decode()) == SHOWN
    metrics.close()
    metrics.close()
    assert generate_latest(registry) == b""


def test_without_a_registry_it_is_the_default_one():
    metrics = PrometheusMetrics(Server(profiles=v16.PROFILES))
    try:
        assert b"ocppj_handshakes 0.0" in generate_latest()
    finally:
        metrics.close()


def test_servers_of_one_registry_have_prefixes():
    registry = CollectorRegistry(auto_describe=True)
    PrometheusMetrics(Fixed(), registry, prefix="north")
    with pytest.raises(ValueError, match="Duplicated"):
        PrometheusMetrics(Fixed(), registry, prefix="north")
    PrometheusMetrics(Fixed(), registry, prefix="south")
    text = generate_latest(registry).decode()
    assert "north_handshakes 1.0" in text and "south_handshakes 1.0" in text


def test_a_server_is_asked_when_prometheus_asks():
    registry = CollectorRegistry()
    with Server(profiles=v16.PROFILES) as server:
        PrometheusMetrics(server, registry)
        server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
        server.listen(host="127.0.0.1")
        with Client("CP_1", profiles=v16.PROFILES) as client:
            client.on(v16.ResetRequest)(lambda request: RESET_DONE)
            client.connect(server.url)
            client.call(HEARTBEAT)
            server.call("CP_1", RESET)
            text = generate_latest(registry).decode()
    assert 'ocppj_connections{version="1.6"} 1.0' in text
    assert 'ocppj_messages_total{action="Heartbeat",direction="received",kind="CALL"} 1.0' in text
    assert 'ocppj_call_seconds_count{action="Reset"} 1.0' in text
    assert 'ocppj_handler_seconds_count{action="Heartbeat"} 1.0' in text


def test_a_peer_cannot_make_new_series():
    registry, ws = CollectorRegistry(), Direct()
    ws.stats = Stats
    with Server(profiles=v16.PROFILES, ws_server=ws).listen() as server:
        PrometheusMetrics(server, registry)
        peer = Peer("CP_1")
        ws.connected(peer)

        def series_after(garbage):
            for number in garbage:
                peer.sent.clear()
                ws.message(peer, f'[2,"{number}","Garbage{number}",{{}}]')
            return len(lines(generate_latest(registry).decode()))

        assert series_after(range(1)) == series_after(range(1, 10_000)) < 20
        assert 'action="other",direction="received",kind="CALL"} 10000.0' in generate_latest(registry).decode()


def test_what_has_no_figures(monkeypatch):
    with pytest.raises(UsageError, match="of a Server or a Client, not of object"):
        PrometheusMetrics(object())
    with pytest.raises(UsageError, match="interval is"):
        PrometheusMetrics(Fixed(), interval=0)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(UsageError, match=r"pip install 'ocppj\[metrics\]'"):
        PrometheusMetrics(Fixed())


# Several processes

WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from ocppj.metrics import PrometheusMetrics
from dataclasses import replace
from tests.test_metrics import Fixed
server = Fixed()
PrometheusMetrics(server, interval=3600)
print("written", flush=True)
sys.stdin.read()
later = replace(server.stats(), held={}, timeouts=9)
server.stats = lambda: later  # written at the end of the process
"""

READER = """
import sys
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
for dead in sys.argv[1:]:
    mark_process_dead(int(dead))
registry = CollectorRegistry()
MultiProcessCollector(registry)
sys.stdout.write(generate_latest(registry).decode())
"""


def read(environment, *dead):
    """Return what the files have, without the processes that are ``dead``."""
    command = [sys.executable, "-c", READER, *map(str, dead)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds(20), check=True)
    return lines(done.stdout)


def test_the_figures_of_processes_are_added_up(tmp_path):
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", WRITER, str(ROOT)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    writers = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
    try:
        for writer in writers:
            assert writer.stdout.readline() == "written\n"
        doubled = {re.sub(r"\S+$", lambda number: str(2 * float(number[0])), line) for line in SHOWN}
        assert read(environment) == doubled
    finally:
        for writer in writers:
            writer.communicate(timeout=seconds(20))
    assert [writer.returncode for writer in writers] == [0, 0]
    left = read(environment, writers[0].pid)
    assert 'ocppj_connections{version="1.6"} 2.0' in left  # a process that has ended has no connections
    assert "ocppj_timeouts_total 18.0" in left  # what it has counted stays
    assert 'ocppj_held_bytes{kind="queued"} 0.0' in left


APPLICATION = '''
import json, os, sys
sys.path.insert(0, {root!r})
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
from ocppj import Server, v16
from ocppj.metrics import PrometheusMetrics
from tests.fixtures import BEAT

server = Server(profiles=v16.PROFILES)
server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
metrics = PrometheusMetrics(server, interval=0.1)

def application(environ, start_response):
    """GET /metrics: those of all workers. GET /worker: which one this is."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/worker":
        if not hasattr(server, "listens"):
            server.listens = server.listen(host="127.0.0.1")
        return [json.dumps([os.getpid(), server.url]).encode()]
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return [generate_latest(registry)]
'''
CONFIGURATION = """
from prometheus_client import multiprocess

def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="gunicorn needs a system that forks")
@pytest.mark.parametrize("preload", [False, True], ids=["each loads", "preload"])
def test_under_gunicorn_any_worker_answers_for_all(preload, tmp_path):
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    (tmp_path / "figures").mkdir()
    (tmp_path / "service.py").write_text(APPLICATION.format(root=str(ROOT)))
    (tmp_path / "gunicorn.conf.py").write_text(CONFIGURATION)
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "figures")}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--bind", f"fd://{listener.fileno()}"]
        # A worker that is just being started may miss the signal that ends it: gunicorn kills it then.
        command += ["--graceful-timeout", "5"]
        command += ["--preload"] * preload + ["service:application"]
        gunicorn = subprocess.Popen(
            command, cwd=tmp_path, env=environment, pass_fds=[listener.fileno()], stderr=subprocess.PIPE, text=True
        )
        try:
            _use(f"http://127.0.0.1:{listener.getsockname()[1]}", tmp_path / "figures")
        finally:
            gunicorn.terminate()
            _, log = gunicorn.communicate(timeout=seconds(30))
    assert gunicorn.returncode == 0, log
    assert "Traceback" not in log


def _get(url):
    with urllib.request.urlopen(url, timeout=seconds(10)) as answer:
        return answer.read().decode()


def _has_files(folder, worker):
    """Return whether a worker has made all its files. prometheus_client fails if it reads one that is just made."""
    kinds = {path.name.partition("_")[0] for path in folder.glob(f"*_{worker}.db") if path.stat().st_size}
    return kinds == {"counter", "gauge", "histogram"}


def _use(url, folder):
    """Have two workers serve charge points, and kill one of them."""
    urls = {}
    eventually(lambda: urls.update([json.loads(_get(f"{url}/worker"))]) or len(urls) == 2, 20)
    clients = []
    try:
        for number, worker in enumerate(urls.values()):
            client = Client(f"CP_{number}", profiles=v16.PROFILES, reconnect=False).connect(worker)
            clients.append(client)
            for _ in range(number + 1):
                client.call(HEARTBEAT)
        eventually(lambda: all(_has_files(folder, worker) for worker in urls))
        wanted = {
            'ocppj_connections{version="1.6"} 2.0',
            'ocppj_messages_total{action="Heartbeat",direction="received",kind="CALL"} 3.0',
            'ocppj_handler_seconds_bucket{action="Heartbeat",le="+Inf"} 3.0',
        }
        eventually(lambda: wanted <= lines(_get(f"{url}/metrics")))
        os.kill(next(iter(urls)), signal.SIGKILL)
        wanted.remove('ocppj_connections{version="1.6"} 2.0')
        wanted.add('ocppj_connections{version="1.6"} 1.0')
        eventually(lambda: wanted <= lines(_get(f"{url}/metrics")), 20)
    finally:
        for client in clients:
            client.stop()


# Forks, and the end of a program

IN_FILES = """
os.mkdir("figures")
os.environ["PROMETHEUS_MULTIPROC_DIR"] = "figures"
from ocppj.metrics import PrometheusMetrics
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_writes_only_what_it_counts_itself(tmp_path):
    """Nothing is stopped here: the end of each process does that, before the last figures are written."""
    source = f"""{IN_FILES}
server, client = make()
metrics = PrometheusMetrics(server, interval=3600)

def use():
    server.listen(host="127.0.0.1")
    client.connect(server.url)
    client.call(HEARTBEAT)

def look():
    say(os.getpid(), [each.name for each in threading.enumerate()])

use()
say(in_child(look))
say(in_child(use))
"""
    idle, *rest = run(source, tmp_path)
    pid, _, threads = idle.partition(" ")
    assert (threads, rest) == ("['MainThread']", ["0", "0"])
    assert [path.name for path in (tmp_path / "figures").glob(f"*_{pid}.db")] == []
    shown = read({**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "figures")})
    assert "ocppj_accepted_connections_total 2.0" in shown
    assert 'ocppj_messages_total{action="Heartbeat",direction="received",kind="CALL"} 2.0' in shown
    assert 'ocppj_connections{version="1.6"} 0.0' in shown
    assert sum(float(line.split()[1]) for line in shown if line.startswith("ocppj_closed_connections_total")) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_threads_that_fork_at_once_leave_the_lock_free(tmp_path):
    source = f"""{IN_FILES}
waits, forked = threading.Event(), threading.Event()

def before_fork():  # after that of the metrics, which has taken the lock
    if threading.current_thread().name == "first":
        waits.set()
        assert forked.wait({seconds(10)})

os.register_at_fork(before=before_fork)
metrics = PrometheusMetrics(make()[0], interval=3600)

def fork():
    number = os.fork()
    if number == 0:
        os._exit(0)
    os.waitpid(number, 0)

first = threading.Thread(target=fork, name="first")
first.start()
assert waits.wait({seconds(10)})
fork()
forked.set()
first.join()
metrics.close()
say("closed")
"""
    assert run(source, tmp_path) == ["closed"]


def test_figures_that_were_read_before_the_last_ones_are_not_written_after_them(tmp_path):
    source = f"""{IN_FILES}
from dataclasses import replace
asked, go_on = threading.Event(), threading.Event()

class Slow:
    def stats(self):
        if threading.current_thread().name == "ocppj-metrics":
            asked.set()
            assert go_on.wait({seconds(10)})
            return replace(make()[0].stats(), timeouts=1)
        return replace(make()[0].stats(), timeouts=2)

metrics = PrometheusMetrics(Slow(), interval=0.01)
thread = next(each for each in threading.enumerate() if each.name == "ocppj-metrics")
assert asked.wait({seconds(10)})
metrics.close()
go_on.set()
thread.join({seconds(10)})
"""
    assert run(source, tmp_path) == []
    assert "ocppj_timeouts_total 2.0" in read({**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "figures")})
