"""`Commands`: what a line at the prompt of ``ocppj serve`` does."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from typing import Any, Callable, Dict, List, Mapping, Sequence

from ..control.catalog import request_schema
from ..control.fields import read_fields
from ..control.words import split_words
from ..errors import OCPPError, OcppjError, UnknownClient, UsageError
from ..events import Event
from ..server import Server
from .arguments import duration
from .connections import connection_rows
from .requests import Requests
from .terminal import Terminal

__all__ = ["COMMANDS", "HELP", "Commands"]

#: The words that may begin a line, and what follows each: see `ocppj.control.Completer`.
COMMANDS = {
    "send": "client",
    "list": "",
    "drop": "id",
    "expect": "action",
    "wait": "",
    "script": "",
    "help": "",
    "quit": "",
}
HELP = """CP_1 RemoteStartTransaction idTag=T connectorId=1   send a request to the client CP_1
CP_1 SetChargingProfile csChargingProfiles.stackLevel=0 csChargingProfiles.chargingSchedule.duration=60 ...
CP_1 SetChargingProfile {"connectorId": 1, ...}     the payload as JSON
send CP_1 Reset type=Soft                           the same; for a client whose name is that of a command
send CP_1 [2,"1","Reset",{"type":"Soft"}]           send a text as it is
list                                                list the clients
drop CP_1                                           close the connection of a client
expect [CP_1] BootNotification [within 30s]         wait for a request of a client, 10 seconds if nothing is said
expect StatusNotification connectorId=1             one that has these fields
wait 5s                                             wait
script FILE                                         do what the lines of a file say; "#" begins a comment
help                                                print this
quit                                                end
The Tab key completes ids, actions, fields and values."""

#: A text that is sent as it is.
_RAW = re.compile(r'send\s+("[^"]+"|\S+)\s+(\[.*)')
_WITHIN = 10.0  # seconds
_DEEPEST = 10  # scripts that call scripts


class Commands:
    """Does what lines say. The main thread uses it.

    Args:
        server: The server.
        terminal: Where results are printed.
        requests: The requests that came of late.
        timeout: Seconds that a request may stay unanswered.
        waits: Whether a request is waited for, before the next line is read.
    """

    def __init__(self, server: Server, terminal: Terminal, requests: Requests, timeout: float, waits: bool) -> None:
        self._server = server
        self._terminal = terminal
        self._requests = requests
        self._timeout = timeout
        self._waits = waits
        self._scripts: List[str] = []  # that are run now
        self._has_quit = False
        self._commands: Dict[str, Callable[[Sequence[str]], None]] = {
            "send": self._send,
            "list": self._list,
            "drop": self._drop,
            "expect": self._expect,
            "wait": self._wait,
            "script": self._script,
            "help": self._help,
            "quit": self._quit,
            "exit": self._quit,
        }

    @property
    def has_quit(self) -> bool:
        """Whether a line said so."""
        return self._has_quit

    def run(self, line: str) -> None:
        """Do what a line says. Blank lines, and those that begin with "#", say nothing.

        Raises:
            OcppjError: It cannot be done, or it has failed.
            OSError: A file cannot be read.
        """
        line = line.strip()
        if not line or line.startswith("#"):
            return
        raw = _RAW.fullmatch(line)
        if raw is not None:
            self._server.send_raw(raw[1].strip('"'), raw[2])
            return
        words = split_words(line)
        command = self._commands.get(words[0])
        if command is not None:
            command(words[1:])
        else:
            self._send(words)

    def _send(self, words: Sequence[str]) -> None:
        if not words:
            raise UsageError("write: send CP_1 Reset type=Soft")
        client_id, *rest = words
        version = self._version_of(client_id)
        if not rest:
            raise UsageError(f"write what to send: {client_id} Reset type=Soft, for example")
        action, *fields = rest
        payload = read_fields(fields, request_schema(version, action), action)
        request = self._server.make_request(client_id, action, payload)
        if self._waits or self._scripts:
            self._server.call(client_id, request, self._timeout)
        else:
            future = self._server.send_request(client_id, request, self._timeout)
            future.add_done_callback(self._ended)

    def _ended(self, future: Any) -> None:
        error = None if future.cancelled() else future.exception(0)
        if error is not None and not isinstance(error, OCPPError):  # the traffic shows that one
            self._terminal.error(str(error))

    def _version_of(self, client_id: str) -> str:
        try:
            return self._server.version_of(client_id)
        except UnknownClient:
            known = ", ".join(self._server.client_ids()) or "none is"
            words = f'no client {client_id!r} is connected ({known}), and there is no such command: see "help"'
            raise UnknownClient(words) from None

    def _list(self, words: Sequence[str]) -> None:
        columns, rows = connection_rows(self._server.connections())
        if self._terminal.as_json:
            self._terminal.json({"clients": [dict(zip(columns, row)) for row in rows]})
        elif rows:
            self._terminal.table(columns, rows)
        else:
            self._terminal.line("no client is connected")

    def _drop(self, words: Sequence[str]) -> None:
        if len(words) != 1:
            raise UsageError("write: drop CP_1")
        self._server.disconnect(words[0])

    def _expect(self, words: Sequence[str]) -> None:
        words, seconds = _split_within(words)
        fields = [word for word in words if "=" in word]
        names = [word for word in words if "=" not in word]
        if not 1 <= len(names) <= 2:
            raise UsageError("write: expect CP_1 StatusNotification connectorId=1 within 30s")
        action, client_id = names[-1], names[0] if len(names) == 2 else None
        if self._requests.expect(action, client_id, seconds, fields) is None:
            whose = "" if client_id is None else f" of {client_id}"
            such = f" with {' '.join(fields)}" if fields else ""
            raise UsageError(f"no {action}{whose}{such} came within {seconds:g} s")

    def _wait(self, words: Sequence[str]) -> None:
        if len(words) != 1:
            raise UsageError("write: wait 5s")
        Event().wait(_seconds(words[0]))

    def _script(self, words: Sequence[str]) -> None:
        if len(words) != 1:
            raise UsageError("write: script FILE")
        if len(self._scripts) >= _DEEPEST:
            raise UsageError(f"scripts call each other: {' -> '.join(self._scripts)}")
        with open(words[0], encoding="utf-8") as file:
            lines = file.read().splitlines()
        if not self._scripts:
            self._requests.forget()
        self._scripts.append(words[0])
        try:
            self._run_all(words[0], lines)
        finally:
            self._scripts.pop()

    def _run_all(self, name: str, lines: Sequence[str]) -> None:
        for number, line in enumerate(lines, 1):
            if self._has_quit:
                return
            try:
                self.run(line)
            except (OcppjError, OSError) as error:
                raise UsageError(f"{name}, line {number}: {error}") from error

    def _help(self, words: Sequence[str]) -> None:
        for line in HELP.splitlines():
            self._terminal.note(line)

    def _quit(self, words: Sequence[str]) -> None:
        self._has_quit = True

    def versions(self) -> Mapping[str, str]:
        """Return the OCPP version of each client by its id, for a `Completer`."""
        return {each.client_id: each.version for each in self._server.connections()}


def _split_within(words: Sequence[str]) -> "tuple[List[str], float]":
    if len(words) >= 2 and words[-2] == "within":
        return list(words[:-2]), _seconds(words[-1])
    return list(words), _WITHIN


def _seconds(text: str) -> float:
    try:
        return duration(text)
    except ArgumentTypeError as error:
        raise UsageError(str(error)) from None
