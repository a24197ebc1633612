"""Features and profiles: the messages that an endpoint supports."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, update_wrapper
from typing import Any, Callable, Dict, Generic, Iterator, Mapping, Optional, Tuple, Type, TypeVar, Union
from weakref import WeakSet

from ..callables import check_not_async
from ..errors import DuplicateFeature, UsageError
from ..payloads.model import Payload
from .dialect import Dialect
from .messages import MAX_ACTION

__all__ = ["Feature", "KeptByFeature", "Profile", "Schema"]

R = TypeVar("R")

#: A JSON schema, or a function that loads it on demand.
Schema = Union[Mapping[str, Any], Callable[[], Mapping[str, Any]]]


@dataclass(frozen=True, eq=False)
class Feature:
    """One action, with its types and schemas.

    Args:
        name: The action as it stands in a CALL, 1 to 36 characters.
        request_type: The type of the request.
        response_type: ``None``: the request is a SEND, which has no response (OCPP 2.1).
        request_schema: A JSON schema, or a function that loads it on demand. ``None``: there is no check.
        response_schema: The same for the response.

    Raises:
        UsageError: The name is not valid.
    """

    name: str
    request_type: Type[Payload]
    response_type: Optional[Type[Payload]]
    request_schema: Optional[Schema] = None
    response_schema: Optional[Schema] = None

    def __post_init__(self) -> None:
        check_not_async("request_schema", self.request_schema)
        check_not_async("response_schema", self.response_schema)
        if not isinstance(self.name, str) or not 1 <= len(self.name) <= MAX_ACTION:
            raise UsageError(f"a feature's name must have 1 to {MAX_ACTION} characters: {self.name!r}")

    @staticmethod
    def bundled(dialect: Dialect, name: str, *, answered: bool = True) -> "Feature":
        """Return a feature of an OCPP version. Its types are imported, and its schemas read, on demand.

        ``answered`` says whether the action has a response. If not, its message has the name of the action.
        """
        return _BundledFeature(dialect, name, answered)

    def __getstate__(self) -> Dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != _KEPT}

    @property
    def is_loaded(self) -> bool:
        """Whether its types have been imported. Before that no object of them exists."""
        return True

    def bundled_schema(self, is_response: bool) -> Optional[Tuple[str, str]]:
        """Return the OCPP version and the name of its schema, such as ("1.6", "ResetRequest"), if it is bundled."""
        return None


_KEPT = "_kept"  # the attribute of a feature that has the results of `KeptByFeature`


class KeptByFeature(Generic[R]):
    """A function ``make(feature, *key)`` whose results are kept in the feature, and so no longer than the feature.

    Any thread may call it. Two that come first at the same time may both make a result, and one of the two is kept.
    """

    def __init__(self, make: Callable[..., R]) -> None:
        self._make = make
        self._features: "WeakSet[Feature]" = WeakSet()  # those that keep results
        update_wrapper(self, make)

    def __call__(self, feature: Feature, *key: Any) -> R:
        try:
            return feature.__dict__[_KEPT][self, key]  # type: ignore[no-any-return]
        except KeyError:
            pass
        result = self._make(feature, *key)
        self._features.add(feature)
        feature.__dict__.setdefault(_KEPT, {})[self, key] = result
        return result

    def cache_clear(self) -> None:
        """Forget all results. For tests and benchmarks."""
        for feature in list(self._features):
            feature.__dict__.pop(_KEPT, None)


class _BundledFeature(Feature):
    """A feature that imports its types when they are first read. Then they are attributes as in any other feature."""

    def __init__(self, dialect: Dialect, name: str, answered: bool) -> None:
        request, response = (name + "Request", name + "Response") if answered else (name, None)
        # The base class is frozen, and the types are not imported yet.
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

    def bundled_schema(self, is_response: bool) -> Optional[Tuple[str, str]]:
        name = self.__dict__["_response" if is_response else "_request"]
        return None if name is None else (self.__dict__["_dialect"].version, name)

    def __repr__(self) -> str:
        return f"<Feature {self.name!r} of OCPP {self.__dict__['_dialect'].version}>"

    @property
    def is_loaded(self) -> bool:
        return bool(self.__dict__["_dialect"].is_loaded)


class Profile:
    """A named group of features of one OCPP version.

    Raises:
        DuplicateFeature: Two features have the same name.
    """

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
        """Add a feature. An endpoint takes only the features that the profile has when it is added.

        Raises:
            DuplicateFeature: The profile has a feature of this name.
        """
        if feature.name in self._by_name:
            raise DuplicateFeature(f"profile {self.name!r} has a feature {feature.name!r} already")
        self._by_name[feature.name] = feature

    def get_feature(self, name: str) -> Optional[Feature]:
        """Return the feature of the action ``name``, or ``None``."""
        return self._by_name.get(name)

    def supports_feature(self, name: str) -> bool:
        """Tell whether the profile has a feature of the action ``name``."""
        return name in self._by_name
