"""``ocppj simulate``: simulated charging stations, one or thousands, also for load tests."""

from __future__ import annotations

import argparse
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional

from .arguments import duration, output, percent, positive, speed, version
from .exits import FOUND, OK, CommandError
from .log_lines import make_logger
from .passwords import password_of
from .terminal import Terminal
from .urls import check_url

if TYPE_CHECKING:
    from ..load.visits import Visits
    from ..testing.simulation.fleet import Fleet
    from ..testing.simulation.summary import FleetSummary
    from .behind import Behind
    from .record import ToldRecorder

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """Simulate charging stations: they connect, boot, send heartbeats, charge, and answer commands.

One station is shown with its traffic. Of many, a summary is shown while they run. A table comes at the end. The exit
code is 1 if a station could not connect or boot, or if requests failed.

--load finds out how many messages a second a central system takes: it raises the rate until the answers come late."""

EXAMPLES = """
ocppj simulate ws://localhost:9000/ocpp                           # one station; Ctrl-C ends it
ocppj simulate ws://localhost:9000/ocpp --charge 30m --speed 60   # one driver charges for half an hour, in 30 s
ocppj simulate ws://localhost:9000/ocpp -n 100 --charge 10m --duration 5m   # drivers come for five minutes
ocppj simulate ws://localhost:9000/ocpp -n 3 --id 'DE*ABC*E{n}' --version 2.0.1
ocppj simulate wss://csms.example/ocpp --id CP_1 --password SECRET --tls ca.pem
ocppj simulate ws://localhost:9000/ocpp -n 200 --load --plot knee.svg       # where is the knee?
"""

_PAUSE = 0.05  # seconds between two looks at the drivers
_SHOWN = 0.5  # seconds between two summaries on a terminal
_REST = 20  # so many times as long as a summary takes, until the next one
_LOAD_STATIONS = 100  # of --load without -n


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ocppj simulate``."""
    parser.add_argument("url", metavar="URL", help="where the central system listens, without the id of a station")
    stations = parser.add_argument_group("stations")
    stations.add_argument(
        "-n", "--stations", type=positive, metavar="N", help="how many stations (default: 1; 100 with --load)"
    )
    stations.add_argument(
        "--id", default="CP_{n}", metavar="ID", help="their ids; {n} stands for 1, 2, 3 ... (default: CP_{n})"
    )
    stations.add_argument("--version", type=version, default="1.6", help="1.6, 2.0.1 or 2.1 (default: 1.6)")
    stations.add_argument("--connectors", type=positive, default=2, metavar="N", help="of each station (default: 2)")
    stations.add_argument(
        "--spread",
        type=duration,
        metavar="TIME",
        help="switch them on within it (default: 10ms for each)",
    )
    stations.add_argument("--seed", type=int, metavar="N", help="of the random numbers: the same drivers in each run")
    drivers = parser.add_argument_group("drivers")
    drivers.add_argument(
        "--charge",
        type=duration,
        metavar="TIME",
        help="a driver comes to each station, and charges for that simulated time; with --duration again and again",
    )
    drivers.add_argument(
        "--speed", type=speed, default=60.0, metavar="X", help="simulated time runs X times as fast (default: 60)"
    )
    drivers.add_argument("--tag", default="TAG-{id}", metavar="TAG", help="the idTag of drivers; {id}: of the station")
    access = parser.add_argument_group("access")
    access.add_argument(
        "--password", metavar="PW", help="for HTTP Basic authentication; {id} in it stands for the id of the station"
    )
    access.add_argument(
        "--password-file", metavar="FILE", help="the same from a file: others can see the words of a command"
    )
    access.add_argument("--tls", metavar="CA", help="the certificate of the authority, or a folder of `ocppj certs`")
    access.add_argument(
        "--cert", metavar="DIR", help="a folder of `ocppj certs` with certificates of stations, or one PEM file"
    )
    running = parser.add_argument_group("how long, and what is shown")
    running.add_argument("--duration", type=duration, metavar="TIME", help="end after that time")
    running.add_argument(
        "--patience",
        type=duration,
        default=10.0,
        metavar="TIME",
        help="end if no station could boot within that time (default: 10s)",
    )
    running.add_argument(
        "--every", type=duration, default=5.0, metavar="TIME", help="how often a line is printed (default: 5s)"
    )
    running.add_argument("--timeout", type=duration, default=30.0, metavar="TIME", help="for an answer (default: 30s)")
    running.add_argument("--record", metavar="FILE", help="write all frames to that file, as a recording")
    _add_load(parser.add_argument_group("the search for the knee"))


def _add_load(load: Any) -> None:
    load.add_argument("--load", action="store_true", help="raise the rate of messages until answers come late")
    load.add_argument(
        "--message", default="MeterValues", metavar="ACTION", help="what the stations send (default: MeterValues)"
    )
    load.add_argument(
        "--from", dest="first", type=positive, default=50, metavar="RATE", help="the first rate (default: 50)"
    )
    load.add_argument("--most", type=positive, default=100_000, metavar="RATE", help="the highest rate to try")
    load.add_argument("--step", type=duration, default=5.0, metavar="TIME", help="for each rate (default: 5s)")
    load.add_argument(
        "--p99", type=duration, default=0.25, metavar="TIME", help="99 of 100 answers come within it (default: 250ms)"
    )
    load.add_argument(
        "--errors", type=percent, default=1.0, metavar="PERCENT", help="so many requests may fail (default: 1)"
    )
    load.add_argument(
        "--plot", type=output, metavar="FILE", help="write the latency over the rate to that file, as an SVG picture"
    )


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the stations."""
    from ..errors import UsageError

    _check(arguments, terminal)
    try:
        if arguments.load:
            from .simulate_load import find_knee

            return find_knee(arguments, terminal, _ids(arguments, _LOAD_STATIONS), _options_of(arguments))
        return _simulate(arguments, terminal)
    except UsageError as error:
        raise CommandError(f"simulate: {error}") from None


def _check(arguments: argparse.Namespace, terminal: Terminal) -> None:
    count = arguments.stations or (_LOAD_STATIONS if arguments.load else 1)
    if count > 1 and "{n}" not in arguments.id:
        raise CommandError(f"simulate: {count} stations need ids of their own: write --id 'CP_{{n}}', or -n 1")
    check_url("simulate", arguments.url, terminal, arguments.id.replace("{n}", "1"))
    for name in ("every", "step", "p99", "timeout"):
        if getattr(arguments, name) <= 0:
            raise CommandError(f"simulate: --{name} is a time above 0")


def _ids(arguments: argparse.Namespace, default: int = 1) -> List[str]:
    return [arguments.id.replace("{n}", str(number)) for number in range(1, (arguments.stations or default) + 1)]


def _options_of(arguments: argparse.Namespace) -> Callable[[str], Dict[str, Any]]:
    """Return what returns the options of a station: its password and its TLS."""
    from ..testing.pki_folder import find_ca, find_station
    from ..ws.tls import client_tls_context

    password = password_of("simulate", arguments)
    ca = None if arguments.tls is None else find_ca(arguments.tls)
    shared = None
    if arguments.cert is None and arguments.url.lower().startswith("wss:"):
        shared = client_tls_context(ca)

    def options(client_id: str) -> Dict[str, Any]:
        found: Dict[str, Any] = {}
        if password is not None:
            found["password"] = password.replace("{id}", client_id)
        if shared is not None:
            found["ssl_context"] = shared
        elif arguments.cert is not None:
            found["ssl_context"] = client_tls_context(ca, find_station(arguments.cert, client_id))
        return found

    return options


def _make_fleet(arguments: argparse.Namespace, terminal: Terminal) -> "Fleet":
    from ..load.limits import allow_many_sockets
    from ..testing.simulation.fleet import Fleet

    ids = _ids(arguments)
    if not allow_many_sockets(len(ids)):
        terminal.error(f"this process may not open {len(ids)} connections: see `ulimit -n`")
    return Fleet(
        ids,
        arguments.url,
        arguments.version,
        spread=_spread(arguments),
        speed=arguments.speed,
        options_of=_options_of(arguments),
        connectors=arguments.connectors,
        timeout=arguments.timeout,
    )


def _spread(arguments: argparse.Namespace) -> float:
    """Return the seconds within which the stations are switched on: by default a hundred a second."""
    seconds: float = (arguments.stations or 1) / 100 if arguments.spread is None else arguments.spread
    return seconds


def _simulate(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from ..load.visits import Visits

    with ExitStack() as parts:
        fleet = _make_fleet(arguments, terminal)
        recorder = _recorder(arguments, terminal, parts)
        if recorder is not None:
            for station in fleet:
                station.client.add_observer(recorder)
        shown = None
        if arguments.stations is None and not terminal.as_json:
            shown = _show_traffic(fleet, terminal)
            parts.callback(shown.close)
        visits = Visits(
            fleet,
            arguments.charge,
            speed=arguments.speed,
            again=arguments.duration is not None,
            tag=arguments.tag,
            seed=arguments.seed,
        )
        parts.callback(fleet.stop)
        began = time.monotonic()
        try:
            fleet.start()
            _watch(arguments, terminal, fleet, visits)
        finally:
            outcome = _look(fleet, visits, time.monotonic() - began)
            fleet.stop()
            if shown is not None:
                shown.close()  # the table comes behind all that was shown
            _report(outcome, terminal)
    is_complete = recorder is None or not recorder.is_incomplete
    return OK if is_complete and not outcome.problems else FOUND


def _recorder(arguments: argparse.Namespace, terminal: Terminal, parts: ExitStack) -> "Optional[ToldRecorder]":
    from .record import ToldRecorder

    if arguments.record is None:
        return None
    recorder = ToldRecorder(arguments.record, terminal.show_secrets, make_logger("simulate", terminal, parts))
    parts.callback(recorder.close)
    return recorder


def _show_traffic(fleet: "Fleet", terminal: Terminal) -> "Behind":
    """Have the frames of the one station printed, as the demo does. A terminal that is stopped does not stop it."""
    from .behind import shown_behind
    from .traffic import Traffic

    [station] = fleet
    shown = shown_behind(Traffic(terminal, station.id, "CSMS"), terminal)
    station.client.add_observer(shown)
    return shown


def _watch(arguments: argparse.Namespace, terminal: Terminal, fleet: "Fleet", visits: "Visits") -> None:
    """Have drivers come, and show what goes on, until it is over."""
    from ..load.figures import Progress

    never = threading.Event()
    began = shown = time.monotonic()
    end = None if arguments.duration is None else began + arguments.duration
    patience = began + arguments.patience + _spread(arguments)
    progress, every = Progress(began), _SHOWN if terminal.shows_status else arguments.every
    shows_traffic = arguments.stations is None and not terminal.as_json
    failures = 0
    while True:
        now = time.monotonic()
        visits.look()
        if (end is not None and now >= end) or _is_over(arguments, fleet, visits, now >= patience):
            return
        if shows_traffic:
            failures = _tell_failures(fleet, terminal, failures)
        elif now - shown >= every:
            line = progress.line(fleet.summary(), now)
            (terminal.status if terminal.shows_status else terminal.error)(line)
            shown = time.monotonic()
            every = max(every, _REST * (shown - now))  # a summary of thousands of stations must not hold them up
        never.wait(_PAUSE if end is None else min(_PAUSE, max(0.0, end - now)))


def _tell_failures(fleet: "Fleet", terminal: Terminal, before: int) -> int:
    """Tell of the attempts to connect that have failed since ``before`` of them. Return how many there were."""
    failed = dict(fleet.stations[0].core.summary.not_connected)
    count = sum(failed.values())
    if count > before:
        terminal.error(f"no connection, the station tries again: {list(failed)[-1]}")
    return count


def _is_over(arguments: argparse.Namespace, fleet: "Fleet", visits: "Visits", is_late: bool) -> bool:
    """Tell whether nothing will happen any more: no station can boot, or each driver has left."""
    booted = sum(bool(station.core.summary.boots) for station in fleet)
    if is_late and not booted:
        return True
    if arguments.charge is None or arguments.duration is not None:
        return False
    return visits.all_ended() and booted > 0 and (booted == len(fleet) or is_late)


class _Outcome(NamedTuple):
    """What the stations have done, while they were still there."""

    summary: "FleetSummary"
    energy: float
    seconds: float
    problems: List[str]


def _look(fleet: "Fleet", visits: "Visits", seconds: float) -> _Outcome:
    from ..load.figures import energy_of
    from ..load.problems import find_problems

    summary = fleet.summary()
    return _Outcome(summary, energy_of(fleet), seconds, find_problems(fleet, summary, visits.ended))


def _report(outcome: _Outcome, terminal: Terminal) -> None:
    """Print the figures, and what went wrong."""
    from ..load.figures import COLUMNS, describe, rows_of, total_rows

    summary, energy, seconds, problems = outcome
    if terminal.as_json:
        terminal.json(describe(summary, energy, seconds, problems))
    else:
        terminal.line()
        if summary.sent or summary.failed:
            terminal.table(COLUMNS, rows_of(summary))
            terminal.line()
        totals = total_rows(summary, energy, seconds)
        width = max(len(name) for name, _ in totals)
        terminal.lines(f"{name:<{width}}  {value}" for name, value in totals)
    for problem in problems:
        terminal.error(f"simulate: {problem}")
