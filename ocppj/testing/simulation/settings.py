"""`Settings`: the configuration keys of 1.6, and the variables of 2.x, with typed values."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Callable, Dict, Hashable, Iterable, Iterator, List, Mapping, Optional, Sequence

__all__ = ["Change", "Setting", "Settings"]


class Change(Enum):
    """How a change of a setting ended."""

    ACCEPTED = "Accepted"
    REJECTED = "Rejected"  # read-only, or the value is none of its type
    REBOOT_REQUIRED = "RebootRequired"
    UNKNOWN = "Unknown"


def _read_bool(text: str) -> bool:
    lower = text.lower()
    if lower not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return lower == "true"


def _read_list(text: str) -> List[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _read_int(text: str) -> int:
    if re.fullmatch(r"[+-]?[0-9]+", text.strip()) is None:  # int() takes more
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def _read_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is no number")
    return value


_READERS: Mapping[type, Callable[[str], Any]] = {
    bool: _read_bool,
    int: _read_int,
    float: _read_float,
    str: str,
    list: _read_list,
}


def to_text(value: Any) -> str:
    """Return a value as it is written in a message."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, list) else str(value)


@dataclass
class Setting:
    """One setting.

    Args:
        key: Its name: the key of 1.6 as text, in 2.x a `v2.device_model.VariableKey`.
        value: The value, of type ``bool``, ``int``, ``float``, ``str`` or ``list`` (of texts). Changes keep the type.
        read_only: Whether the CSMS may not change it.
        reboot_required: Whether a change takes effect with the next boot only.
        write_only: Whether the CSMS may not read it, such as a password.
        minimum: The least value of a number.
        maximum: The greatest value of a number, or the greatest length of a text or list.
        choices: The values that a text, or each member of a list, may have.
        unit: The unit of the value, such as "s".
        check: ``f(value)``, which raises `ValueError` for a value that cannot be used.
    """

    key: Hashable
    value: Any
    read_only: bool = False
    reboot_required: bool = False
    write_only: bool = False
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    choices: Optional[Sequence[str]] = None
    unit: Optional[str] = None
    check: Optional[Callable[[Any], object]] = None
    next_value: Any = field(default=None)  # takes the place of `value` at the next boot

    @property
    def text(self) -> str:
        """The value as it is written in a message."""
        return to_text(self.value)

    def parse(self, text: str) -> Any:
        """Return the value that ``text`` stands for.

        Raises:
            ValueError: It is not of the type, or out of bounds.
        """
        value = _READERS[type(self.value)](text)
        if self.choices is not None:
            for member in value if isinstance(value, list) else [value]:
                if member not in self.choices:
                    raise ValueError(f"{member!r} is not one of {', '.join(self.choices)}")
        size = len(value) if isinstance(value, (str, list)) else value
        if self.minimum is not None and size < self.minimum:
            raise ValueError(f"{text!r} is below {self.minimum}")
        if self.maximum is not None and size > self.maximum:
            raise ValueError(f"{text!r} is above {self.maximum}")
        if self.check is not None:
            self.check(value)
        return value


class Settings:
    """The settings of one station. To be used in jobs of its mailbox; reading is fine everywhere.

    Args:
        settings: What there is.
        names: The keys of the settings that the version-independent model reads, by the names that it uses (see
            `behaviour.MODEL_SETTINGS`).
    """

    def __init__(self, settings: Iterable[Setting], names: Mapping[str, Hashable]) -> None:
        self._by_key: Dict[Hashable, Setting] = {setting.key: setting for setting in settings}
        self._names = dict(names)
        self._watchers: Dict[Hashable, List[Callable[[], object]]] = {}
        self._watchers_of_all: List[Callable[[Setting], object]] = []

    def __iter__(self) -> Iterator[Setting]:
        return iter(self._by_key.values())

    def __contains__(self, key: Hashable) -> bool:
        return key in self._by_key

    def __getitem__(self, key: Hashable) -> Any:
        """Return the value of a setting. Raises `KeyError`."""
        return self._by_key[key].value

    def find(self, key: Hashable) -> Optional[Setting]:
        """Return the setting, or ``None`` when there is none."""
        return self._by_key.get(key)

    def add(self, setting: Setting) -> None:
        """Add a setting, or replace one."""
        self._by_key[setting.key] = setting

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value that the model calls ``name``, or ``default`` when the version has no such setting."""
        setting = self._by_key.get(self._names.get(name))
        return default if setting is None else setting.value

    def watch(self, name: str, changed: Callable[[], object]) -> None:
        """Call ``changed()`` whenever the value that the model calls ``name`` has changed."""
        if name in self._names:
            self._watchers.setdefault(self._names[name], []).append(changed)

    def watch_all(self, changed: Callable[[Setting], object]) -> None:
        """Call ``changed(setting)`` whenever the value of any setting has changed."""
        self._watchers_of_all.append(changed)

    def change(self, key: Hashable, text: str) -> Change:
        """Change a setting as the CSMS asks for."""
        setting = self._by_key.get(key)
        if setting is None:
            return Change.UNKNOWN
        if setting.read_only:
            return Change.REJECTED
        try:
            value = setting.parse(text)
        except ValueError:
            return Change.REJECTED
        if setting.reboot_required:
            setting.next_value = value
            return Change.REBOOT_REQUIRED
        self._put(setting, value)
        return Change.ACCEPTED

    def put(self, key: Hashable, value: Any) -> None:
        """Change a setting from within the station: the interval of a BootNotificationResponse, a state."""
        self._put(self._by_key[key], value)

    def put_named(self, name: str, value: Any) -> None:
        """Do what `put` does, for the setting that the model calls ``name``, if the version has it."""
        if name in self._names:
            self.put(self._names[name], value)

    def reboot(self) -> None:
        """Take over the values that waited for a reboot."""
        for setting in list(self._by_key.values()):
            if setting.next_value is not None:
                value, setting.next_value = setting.next_value, None
                self._put(setting, value)

    def _put(self, setting: Setting, value: Any) -> None:
        if value == setting.value:
            return
        setting.value = value
        for changed in self._watchers.get(setting.key, ()):
            changed()
        for told in self._watchers_of_all:
            told(setting)
