"""Features and profiles: which messages an endpoint speaks.

A `Feature` is one action: its name, its request and response types and their schemas. A `Profile` is a named group
of features in one OCPP version, as the specification groups them, or as a vendor adds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Type, Union

from .dialect import Dialect
from .errors import DuplicateFeature, UsageError
from .messages import MAX_ACTION
from .payloads import Payload

__all__ = ["Feature", "Profile", "Schema"]

#: A JSON schema, or a function that loads it when it is first needed.
Schema = Union[Mapping[str, Any], Callable[[], Mapping[str, Any]]]


@dataclass(frozen=True, eq=False)
class Feature:
    """One action: ``name`` as it stands in a CALL, its types, and the schemas of their payloads.

    Without a schema a payload is only decoded, not checked. ``response_type`` is ``None`` for a message that is
    never answered (SEND, in OCPP 2.1).
    """

    name: str
    request_type: Type[Payload]
    response_type: Optional[Type[Payload]]
    request_schema: Optional[Schema] = None
    response_schema: Optional[Schema] = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not 1 <= len(self.name) <= MAX_ACTION:
            raise UsageError(f"a feature's name must have 1 to {MAX_ACTION} characters: {self.name!r}")

    @classmethod
    def bundled(
        cls, dialect: Dialect, name: str, request_type: Type[Payload], response_type: Optional[Type[Payload]]
    ) -> "Feature":
        """Return the feature whose schemas ``dialect`` bundles; they are read when they are first needed."""
        response_schema = partial(dialect.load_schema, name + "Response") if response_type else None
        return cls(name, request_type, response_type, partial(dialect.load_schema, name + "Request"), response_schema)


class Profile:
    """A named group of features of one OCPP version. Refuses a feature whose name or types it has already."""

    def __init__(self, name: str, dialect: Dialect, *features: Feature) -> None:
        self.name = name
        self.dialect = dialect
        self._by_name: Dict[str, Feature] = {}
        for feature in features:
            self.add_feature(feature)

    def __repr__(self) -> str:
        return f"<Profile {self.name!r} of OCPP {self.dialect.version}, {len(self._by_name)} features>"

    def __iter__(self) -> Iterator[Feature]:
        return iter(self._by_name.values())

    def add_feature(self, feature: Feature) -> None:
        """Add ``feature``. Raises `DuplicateFeature`. Add features before an endpoint is given the profile."""
        if feature.name in self._by_name:
            raise DuplicateFeature(f"profile {self.name!r} has a feature {feature.name!r} already")
        self._by_name[feature.name] = feature

    def get_feature(self, name: str) -> Optional[Feature]:
        """Return the feature of that action, or ``None``."""
        return self._by_name.get(name)

    def supports_feature(self, name: str) -> bool:
        """Tell whether the profile has a feature of that action."""
        return name in self._by_name
