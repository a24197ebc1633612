"""`Rules`: which differences between a recorded message and one of today count, and the ids that are carried on."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, Iterator, List, Sequence, Tuple

from ..secrets import MASK

__all__ = ["MISSING", "Carried", "Compared", "Fault", "Rules"]

#: Ids that one side chooses, and that both use later.
_IDS = {"transactionId", "requestId", "remoteStartId", "reservationId", "chargingProfileId"}
#: Of these one that stands for another than before is a difference. Others may be given twice.
_STRICT = {"transactionId"}
_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d.*")
#: What a meter says: no two charges are alike.
_METERED = {"meterStart", "meterStop", "signedMeterValue"}
#: Actions whose number depends on the time that passes.
UNCOUNTED = frozenset({"Heartbeat"})


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


#: Stands for a value that is not there.
MISSING: Any = _Missing()

#: Where two payloads differ, and the two values.
Fault = Tuple[str, Any, Any]


@dataclass
class Compared:
    """What a comparison found.

    Attributes:
        faults: Where the two differ.
        ids: The ids that stand for recorded ones.
    """

    faults: List[Fault] = field(default_factory=list)
    ids: List[Tuple[str, Any, Any]] = field(default_factory=list)


class Carried:
    """The ids of today in place of the recorded ones, of one charging station. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: Dict[Tuple[str, str], Any] = {}

    def learn(self, ids: Iterable[Tuple[str, Any, Any]]) -> None:
        """Take note of ids: name, recorded, of today."""
        known = {(name, json.dumps(recorded)): live for name, recorded, live in ids}
        with self._lock:
            self._ids.update(known)

    def get(self, name: str, recorded: Any) -> Any:
        """Return the id of today. Raises `KeyError` if it is not known."""
        with self._lock:
            return self._ids[name, json.dumps(recorded)]

    def put_in(self, value: Any, name: str = "") -> Any:
        """Return a recorded payload with the ids of today. What has none is the same object."""
        if isinstance(value, dict):
            changed = {key: self.put_in(each, key) for key, each in value.items()}
            return changed if any(changed[key] is not value[key] for key in value) else value
        if isinstance(value, list):
            items = [self.put_in(each) for each in value]
            return items if any(new is not old for new, old in zip(items, value)) else value
        if name not in _IDS:
            return value
        try:
            return self.get(name, value)
        except KeyError:
            return value


class Rules:
    """What is compared. Not compared are message ids, timestamps, what was masked, and ids that the other side chooses.

    Such an id is carried on into later requests. Of two readings of a meter the values may differ.

    Args:
        ignore: What is not compared either. Each is the name of a field (``interval``), a path (``idTagInfo.status``),
            an action (``MeterValues``), or an action and a path (``BootNotification.interval``).
    """

    def __init__(self, ignore: Iterable[str] = ()) -> None:
        self._ignored = [tuple(each.split(".")) for each in ignore]

    def ignores(self, action: str) -> bool:
        """Tell whether nothing of the messages of ``action`` matters, their answers included."""
        return (action,) in self._ignored

    def counts(self, action: str) -> bool:
        """Tell whether it matters how many messages of ``action`` come, and when."""
        return action not in UNCOUNTED and not self.ignores(action)

    def compare(self, action: str, recorded: Any, live: Any, carried: Carried) -> Compared:
        """Compare two payloads of ``action``."""
        compared = Compared()
        self._compare((action,), recorded, live, carried, compared)
        return compared

    def _compare(self, path: Tuple[str, ...], recorded: Any, live: Any, carried: Carried, compared: Compared) -> None:
        if self._is_ignored(path):
            return
        name = path[-1].partition("[")[0]
        if isinstance(recorded, dict) and isinstance(live, dict):
            for key in {**recorded, **live}:
                values = recorded.get(key, MISSING), live.get(key, MISSING)
                self._compare((*path, key), *values, carried, compared)
        elif isinstance(recorded, list) and isinstance(live, list):
            for index, values in _pairs(recorded, live):
                self._compare((*path[:-1], f"{path[-1]}[{index}]"), *values, carried, compared)
        elif name in _IDS and len(path) > 1 and recorded is not MISSING and live is not MISSING:
            self._compare_ids(path, name, recorded, live, carried, compared)
        elif not _are_alike(path, recorded, live):
            compared.faults.append((_shown(path), recorded, live))

    def _compare_ids(
        self, path: Tuple[str, ...], name: str, recorded: Any, live: Any, carried: Carried, compared: Compared
    ) -> None:
        try:
            known = carried.get(name, recorded)
        except KeyError:
            known = live
        if name in _STRICT and known != live:
            compared.faults.append((_shown(path), known, live))
        compared.ids.append((name, recorded, live))

    def _is_ignored(self, path: Tuple[str, ...]) -> bool:
        plain = tuple(each.partition("[")[0] for each in path)
        return any(_is_in(each, plain) for each in self._ignored)


def _pairs(recorded: List[Any], live: List[Any]) -> Iterator[Tuple[int, Tuple[Any, Any]]]:
    for index in range(max(len(recorded), len(live))):
        first = recorded[index] if index < len(recorded) else MISSING
        yield index, (first, live[index] if index < len(live) else MISSING)


def _is_in(wanted: Sequence[str], path: Sequence[str]) -> bool:
    """Tell whether ``path`` ends with ``wanted``: what is above it is compared."""
    return len(wanted) <= len(path) and tuple(path[len(path) - len(wanted) :]) == tuple(wanted)


def _are_alike(path: Sequence[str], recorded: Any, live: Any) -> bool:
    if recorded is MISSING or live is MISSING:
        return False
    name = path[-1]
    if name in _METERED or (name == "value" and len(path) > 1 and path[-2].startswith("sampledValue")):
        return True
    if isinstance(recorded, str) and isinstance(live, str):
        return recorded == live or MASK in recorded or bool(_DATE.fullmatch(recorded) and _DATE.fullmatch(live))
    return bool(recorded == live) and isinstance(recorded, bool) == isinstance(live, bool)


def _shown(path: Sequence[str]) -> str:
    """Return a path without its action: ``idTagInfo.status``."""
    return ".".join(path[1:])
