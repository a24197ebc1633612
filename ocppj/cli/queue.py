"""``ocppj queue``: looks into the stored requests of a durable queue."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import contextmanager, nullcontext
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Dict, Iterator, List, Optional, TextIO

from .exits import FOUND, OK, CommandError
from .terminal import Terminal

if TYPE_CHECKING:
    from ..storage.queue_file import QueuedRequest

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """Look into the stored requests of a durable queue: a file of SQLiteQueue or SQLiteQueueMap, or Redis.

list       Shows the requests that wait, and those that were set aside. It changes nothing, and works while the service
           runs. How often a request was tried is not stored: the service counts that in memory.
export     Writes them as JSON lines.
set-aside  Has a request not be sent for now. It stays in the file.
put-back   Has a request that was set aside sent after all, in its old place.
forget     Deletes a request that was set aside.

The last three need the file for themselves: stop the service first. On Redis, put-back and forget work while services
run."""

EXAMPLES = """
ocppj queue list requests.db                       # what waits, for whom, and since when
ocppj queue list requests.db --client CP_1
ocppj queue export requests.db -o requests.jsonl   # with the frames; passwords are ***
ocppj queue set-aside requests.db 5a3c --reason "the charger restarts when it gets this"
ocppj queue put-back requests.db 5a3c
ocppj queue forget requests.db --all --yes         # deletes all that were set aside
ocppj queue list redis://localhost:6379/0
"""

_CHANGES = {"set-aside": "set aside", "put-back": "put back", "forget": "deleted"}
_COLUMNS = ("client", "id", "action", "OCPP", "age", "expires in", "state", "reason")
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ocppj queue``."""
    metavar = "list|export|set-aside|put-back|forget"
    parser.add_argument("what", choices=["list", "export", *_CHANGES], metavar=metavar, help="what to do with them")
    parser.add_argument("file", metavar="FILE", help="the file of the queue, or redis://HOST:PORT/DB")
    parser.add_argument("ids", nargs="*", metavar="ID", help="the message ids of requests; a beginning is enough")
    parser.add_argument("--client", metavar="CP", help="only the requests of that charging station")
    parser.add_argument("--all", action="store_true", help="all that were set aside, in place of ids")
    parser.add_argument("--reason", default="set aside by hand", metavar="TEXT", help="why it is set aside")
    parser.add_argument("--yes", action="store_true", help="delete without a question")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="where export writes to")
    parser.add_argument("--prefix", default="ocppj", metavar="TEXT", help="of the keys on Redis (default: ocppj)")


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Do what was asked for."""
    from ..errors import QueueDamaged, QueueInUse, UsageError

    _check(arguments)
    try:
        with _opened(arguments) as store:
            requests = [each for each in store.list() if arguments.client in (None, each.client_id)]
            if arguments.what == "list":
                return _list(requests, terminal)
            if arguments.what == "export":
                return _export(requests, arguments.output, terminal)
            return _change(arguments, store, requests, terminal)
    except QueueInUse as error:
        raise CommandError(f"queue: {error}. Stop it first. `ocppj queue list` works meanwhile", FOUND) from None
    except UsageError as error:
        raise CommandError(f"queue: {error}") from None
    except QueueDamaged as error:
        raise CommandError(f"queue: {error}", FOUND) from None


def _check(arguments: argparse.Namespace) -> None:
    changes = arguments.what in _CHANGES
    if changes and not arguments.ids and not arguments.all:
        more = "" if arguments.what == "set-aside" else ", or --all"
        raise CommandError(f"queue {arguments.what}: name the ids of requests{more}. `ocppj queue list` shows them")
    if arguments.all and (arguments.what == "set-aside" or not changes):
        raise CommandError("queue: --all is for put-back and forget")
    if arguments.all and arguments.ids:
        raise CommandError("queue: name the ids of requests, or say --all, and not both")
    if arguments.ids and not changes:
        raise CommandError(f"queue {arguments.what}: it takes no ids; --client shows those of one charging station")
    if arguments.output is not None and arguments.what != "export":
        raise CommandError("queue: --output is for export")


@contextmanager
def _opened(arguments: argparse.Namespace) -> Iterator[Any]:
    """Return the requests: an object with list, set_aside, put_back and forget."""
    if not arguments.file.startswith(("redis://", "rediss://")):
        from ..storage.queue_file import QueueFile

        yield QueueFile(arguments.file)
        return
    from ..cluster.redis.cluster import RedisCluster
    from ..cluster.redis.queue_view import RedisQueueView

    with RedisQueueView(RedisCluster(arguments.file, prefix=arguments.prefix)) as view:
        yield view


def _list(requests: "List[QueuedRequest]", terminal: Terminal) -> int:
    if terminal.as_json:
        for each in requests:
            terminal.json(_described(each, terminal.show_secrets))
        return OK
    if not requests:
        terminal.line("no request is stored")
        return OK
    now = datetime.now(timezone.utc)
    rows = [
        (
            each.client_id or "-",
            each.message_id,
            each.action,
            each.version,
            _span(each.since, now),
            _span(now, each.expires),
            each.state,
            each.reason,
        )
        for each in requests
    ]
    terminal.table(_COLUMNS, rows)
    aside = sum(each.state == "set aside" for each in requests)
    terminal.line()
    terminal.line(f"{len(requests) - aside} wait, {aside} set aside")
    return OK


def _span(begin: Optional[datetime], end: Optional[datetime]) -> str:
    """Return the time between two moments as two units, such as "2h 5m"."""
    if begin is None or end is None:
        return ""
    left = max(0, int((end - begin).total_seconds()))
    parts: List[str] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def _described(each: "QueuedRequest", show_secrets: bool) -> Dict[str, Any]:
    from ..secrets import mask_secrets

    return {
        "client": each.client_id,
        "id": each.message_id,
        "action": each.action,
        "version": each.version,
        "since": _time(each.since),
        "expires": _time(each.expires),
        "state": each.state,
        "reason": each.reason,
        "set_aside": _time(each.set_aside),
        "text": each.data if show_secrets else mask_secrets(each.data),
    }


def _time(moment: Optional[datetime]) -> Optional[str]:
    return None if moment is None else moment.isoformat()


def _export(requests: "List[QueuedRequest]", output: Optional[Path], terminal: Terminal) -> int:
    lines = [json.dumps(_described(each, terminal.show_secrets), ensure_ascii=False) for each in requests]
    target: ContextManager[TextIO] = nullcontext(sys.stdout) if output is None else _create(output)
    with target as file:
        file.writelines(f"{line}\n" for line in lines)
    if output is not None:
        terminal.note(f"{len(lines)} requests were written to {output}")
    return OK


def _create(output: Path) -> TextIO:
    """Return a new file that only its owner may read: requests may have secrets."""
    try:
        return os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")
    except FileExistsError:
        raise CommandError(f"queue export: {output} is there already: choose another name") from None


def _change(arguments: argparse.Namespace, store: Any, requests: "List[QueuedRequest]", terminal: Terminal) -> int:
    chosen = _choose(arguments, requests)
    if not chosen:
        terminal.line("no request was set aside")
        return OK
    if arguments.what == "forget" and not arguments.yes and not _agreed(chosen):
        terminal.line("nothing was deleted")
        return FOUND
    act: Dict[str, Callable[["QueuedRequest"], None]] = {
        "set-aside": lambda each: store.set_aside(each.message_id, each.client_id or None, arguments.reason),
        "put-back": lambda each: store.put_back(each.message_id, each.client_id or None),
        "forget": lambda each: store.forget(each.message_id, each.client_id or None),
    }
    for each in chosen:
        act[arguments.what](each)
        if terminal.as_json:
            terminal.json({"done": arguments.what, "client": each.client_id, "id": each.message_id})
        else:
            whose = f" for {each.client_id}" if each.client_id else ""
            terminal.line(f"{_CHANGES[arguments.what]}: {each.action} {each.message_id}{whose}")
    return OK


def _choose(arguments: argparse.Namespace, requests: "List[QueuedRequest]") -> "List[QueuedRequest]":
    """Return the requests that are meant. Raises `CommandError` for an id that means none, or several."""
    wanted = [each for each in requests if (each.state == "set aside") == (arguments.what != "set-aside")]
    if arguments.all:
        return wanted
    chosen = []
    for name in arguments.ids:
        exact = [each for each in wanted if each.message_id == name]
        found = exact or [each for each in wanted if each.message_id.startswith(name)]
        if not found:
            raise CommandError(f"queue: {_missing(name, arguments, requests)}")
        if len(found) > 1:
            several = ", ".join(f"{each.message_id} of {each.client_id or '-'}" for each in found[:4])
            raise CommandError(f"queue: {name!r} means several requests: {several}. Write the whole id, or --client")
        chosen += [each for each in found if each not in chosen]
    return chosen


def _missing(name: str, arguments: argparse.Namespace, requests: "List[QueuedRequest]") -> str:
    others = [each for each in requests if each.message_id.startswith(name)]
    if not others:
        return f"there is no request {name!r} in {arguments.file}"
    if arguments.what == "set-aside":
        return f"{others[0].message_id} was set aside already"
    hint = f"Set it aside first: ocppj queue set-aside {arguments.file} {others[0].message_id}"
    return f"{others[0].message_id} waits to be sent, it was not set aside" + (
        f". {hint}" if arguments.what == "forget" else ""
    )


def _agreed(chosen: "List[QueuedRequest]") -> bool:
    """Ask whether the requests are to be deleted."""
    if not sys.stdin.isatty():
        raise CommandError("queue forget: nobody can be asked here. Say --yes to delete the requests for good")
    count = "1 request" if len(chosen) == 1 else f"{len(chosen)} requests"
    try:
        return input(f"Delete {count} for good? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # Ctrl-D
        return False
