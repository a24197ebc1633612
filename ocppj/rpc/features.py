"""Features and profiles: which messages an endpoint speaks.

A `Feature` is one action: its name, its request and response types and their schemas. A `Profile` is a named group
of features in one OCPP version, as the specification groups them, or as a vendor adds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Type, Union

from ..errors import DuplicateFeature, UsageError
from ..payloads.model import Payload
from .dialect import Dialect
from .messages import MAX_ACTION

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

    @staticmethod
    def bundled(dialect: Dialect, name: str, *, answered: bool = True) -> "Feature":
        """Return the action ``name`` of ``dialect``'s own catalogue.

        Its types are imported, and its schemas read, when they are first needed. An action that is not ``answered``
        has a message of its own name, no request and response.
        """
        return _BundledFeature(dialect, name, answered)

    @property
    def is_loaded(self) -> bool:
        """Whether its types have been imported: before, there is no object of them."""
        return True


class _BundledFeature(Feature):
    """A feature that knows where its types are. Read once, they are attributes like any other feature's."""

    def __init__(self, dialect: Dialect, name: str, answered: bool) -> None:
        request, response = (name + "Request", name + "Response") if answered else (name, None)
        # The base is frozen, and its types are not known yet.
        self.__dict__.update(
            name=name,
            request_schema=partial(dialect.load_schema, request),
            response_schema=partial(dialect.load_schema, response) if response else None,
            _dialect=dialect,
            _request=request,
            _response=response,
        )
        self.__post_init__()

    def __getattr__(self, name: str) -> Any:
        if name not in ("request_type", "response_type"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        message = self.__dict__["_request" if name == "request_type" else "_response"]
        found = self.__dict__[name] = None if message is None else self.__dict__["_dialect"].load_type(message)
        return found

    def __repr__(self) -> str:
        return f"<Feature {self.name!r} of OCPP {self.__dict__['_dialect'].version}>"

    @property
    def is_loaded(self) -> bool:
        return bool(self.__dict__["_dialect"].is_loaded)


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
