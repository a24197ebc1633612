"""The OCPP versions for the tests, and the number of their actions, messages and enums."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, List, Type

import pytest
from strategies import ROOT

from ocppj import v16, v21, v201
from ocppj.payloads.model import Payload, TextEnum
from ocppj.rpc.features import Feature


@dataclass(frozen=True)
class Version:
    """A version: its package, and the number of its actions, messages (requests and responses) and enums."""

    number: str
    package: ModuleType
    actions: int
    messages: int
    enums: int

    @property
    def folder(self) -> Path:
        """The folder of the package."""
        return ROOT / "ocppj" / self.name

    @property
    def name(self) -> str:
        """The last part of the package's name: v16."""
        return self.package.__name__.rsplit(".", 1)[-1]

    @property
    def features(self) -> List[Feature]:
        """The features of all profiles."""
        return [feature for profile in self.package.PROFILES for feature in profile]

    @property
    def message_names(self) -> List[str]:
        """The names of the bundled schemas."""
        return sorted(path.stem for path in (self.folder / "schemas").glob("*.json"))

    @property
    def enum_types(self) -> List[Type[TextEnum]]:
        """Every enum of the package."""
        exported = [getattr(self.package, name) for name in self.package.__all__]
        return [each for each in exported if isinstance(each, type) and issubclass(each, TextEnum)]

    def schema(self, message: str) -> Dict[str, Any]:
        """Return the bundled schema of ``message``. Do not change it."""
        return _schema(self, message)

    def type_of(self, message: str) -> Type[Payload]:
        """Return the class of ``message``."""
        found: Type[Payload] = getattr(self.package, message)
        return found


@lru_cache(maxsize=None)
def _schema(version: Version, message: str) -> Dict[str, Any]:
    schema: Dict[str, Any] = version.package.DIALECT.load_schema(message)
    return schema


#: 2.1 has 90 actions with a response, and NotifyPeriodicEventStream.
VERSIONS = [
    Version("1.6", v16, actions=39, messages=78, enums=48),
    Version("2.0.1", v201, actions=64, messages=128, enums=88),
    Version("2.1", v21, actions=91, messages=181, enums=110),
]

each_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.number)
each_message = pytest.mark.parametrize(
    ("version", "message"),
    [
        pytest.param(version, message, id=f"{version.number}-{message}")
        for version in VERSIONS
        for message in version.message_names
    ],
)
