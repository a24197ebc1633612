"""`FeatureRegistry`: the profiles of an endpoint, and its features by action and by type."""

from __future__ import annotations

import difflib
from typing import Dict, Iterable, List, Optional, Sequence, Tuple, Type

from ..errors import DuplicateFeature, UnsupportedFeature, UsageError
from ..payloads.model import Payload
from .dialect import Dialect
from .features import Feature, Profile
from .missing import missing
from .validation import check_schemas

__all__ = ["FeatureRegistry"]

# No feature has the key ``None``. The types allow it, so that a caller may look up what it has.
_ByAction = Dict[Tuple[Optional[Dialect], Optional[str]], Feature]
_ByType = Dict[Tuple[Optional[Dialect], Type[Payload]], Feature]


class FeatureRegistry:
    """The profiles of one endpoint. They may be of several OCPP versions."""

    def __init__(self, profiles: Iterable[Profile] = ()) -> None:
        # The endpoint reads `by_action` and `by_request` itself for most messages: this takes no call.
        self.by_action: _ByAction = {}
        self.by_request: _ByType = {}
        self._by_response: _ByType = {}
        self._profiles: List[Profile] = []
        # Features that are not in the tables by type yet, since their types have not been imported.
        self._not_loaded: Dict[Dialect, List[Feature]] = {}
        given: object = profiles
        if isinstance(given, (str, Profile)) or not hasattr(given, "__iter__"):
            raise UsageError(f"profiles must be a list of profiles, such as v16.PROFILES, not {profiles!r}")
        for profile in profiles:
            self.add_profile(profile)

    @property
    def profiles(self) -> Sequence[Profile]:
        return tuple(self._profiles)

    @property
    def dialects(self) -> Sequence[Dialect]:
        return tuple(dict.fromkeys(profile.dialect for profile in self._profiles))

    def add_profile(self, profile: Profile) -> None:
        """Add ``profile``, or nothing if it is refused. Raises `DuplicateFeature` and `UsageError`."""
        if not isinstance(profile, Profile):
            raise UsageError(f"profiles must be a list of profiles, and {profile!r} in it is none")
        dialect = profile.dialect
        self._index_loaded(dialect)
        if any(each.name == profile.name and each.dialect is dialect for each in self._profiles):
            raise DuplicateFeature(f"a profile {profile.name!r} of OCPP {dialect.version} is there already")
        for feature in profile:
            known = feature.is_loaded and (dialect, feature.request_type) in self.by_request
            if known or (dialect, feature.name) in self.by_action:
                raise DuplicateFeature(f"a feature {feature.name!r} of OCPP {dialect.version} is there already")
            check_schemas(feature)
        self._profiles.append(profile)
        for feature in profile:
            self.by_action[dialect, feature.name] = feature
            if feature.is_loaded:
                self._index(dialect, feature)
            else:
                self._not_loaded.setdefault(dialect, []).append(feature)

    def get_profile(self, name: str, dialect: Optional[Dialect] = None) -> Optional[Profile]:
        found = (each for each in self._profiles if each.name == name and dialect in (None, each.dialect))
        return next(found, None)

    def get_profile_for_feature(self, name: str, dialect: Optional[Dialect] = None) -> Optional[Profile]:
        found = (each for each in self._profiles if each.supports_feature(name) and dialect in (None, each.dialect))
        return next(found, None)

    def get_dialect(self, subprotocol: str) -> Optional[Dialect]:
        return next((each for each in self.dialects if each.subprotocol == subprotocol), None)

    def default_dialect(self) -> Dialect:
        """Return the version of the first profile. Raises `UsageError` if there is none."""
        if not self._profiles:
            raise UsageError("the endpoint has no profiles, hence no OCPP version")
        return self._profiles[0].dialect

    def dialect_of(self, request_type: Type[Payload]) -> Dialect:
        """Return the first version that has the request. Raises `UnsupportedFeature`."""
        self.of_request(request_type)
        return next(each for each in self.dialects if (each, request_type) in self.by_request)

    def has_action(self, action: str) -> bool:
        """Tell whether a profile of any version has that action."""
        return any((dialect, action) in self.by_action for dialect in self.dialects)

    def action_of(self, request_type: type) -> Optional[str]:
        """Return the action of the requests of that type, in any version, or ``None``."""
        for dialect in self.dialects:
            feature = self.by_request.get((dialect, request_type))
            if feature is not None:
                return feature.name
        return None

    def dialects_of(self, request_type: Type[Payload]) -> List[Dialect]:
        """Return every version that has the request. Raises `UnsupportedFeature` when none has it."""
        self.of_request(request_type)
        for each in self.dialects:
            self._index_loaded(each)
        return [each for each in self.dialects if (each, request_type) in self.by_request]

    def of_request(self, request_type: Type[Payload], dialect: Optional[Dialect] = None) -> Feature:
        """Return the feature of a request. Without ``dialect``: of the first version. Raises `UnsupportedFeature`."""
        return self._lookup(self.by_request, request_type, dialect)

    def of_action(self, action: str, dialect: Dialect) -> Feature:
        """Return the feature of an action of that version. Raises `UnsupportedFeature`, which says what is wrong."""
        feature = self.by_action.get((dialect, action)) if isinstance(action, str) else None
        if feature is not None:
            return feature
        if action in dialect.actions:
            raise UnsupportedFeature(f"no profile of OCPP {dialect.version} has the action {action}")
        known = [name for each, name in self.by_action if each is dialect and name is not None]
        unlike = str(action)[: -len("Request")] if str(action).endswith("Request") else str(action)
        nearest = difflib.get_close_matches(unlike, known, 1)
        hint = f"; is {nearest[0]!r} meant?" if nearest else ""
        raise UnsupportedFeature(f"OCPP {dialect.version} has no action {action!r:.80}{hint}")

    def of_response(
        self, response_type: Type[Payload], dialect: Optional[Dialect] = None, action: Optional[str] = None
    ) -> Feature:
        """Return the feature of a response, as `of_request` does for requests.

        ``action`` is that of the request, if it is known: several actions may have the same type of response.
        """
        feature = self._lookup(self._by_response, response_type, dialect)
        if action is not None and feature.name != action:
            known = self.by_action.get((dialect or self.default_dialect(), action))
            if known is None or not issubclass(response_type, known.response_type or ()):
                raise UnsupportedFeature(f"{response_type.__name__} does not answer {action}")
            feature = known
        return feature

    def _lookup(self, table: _ByType, payload_type: Type[Payload], dialect: Optional[Dialect]) -> Feature:
        if dialect is not None and (dialect, payload_type) in table:
            return table[dialect, payload_type]
        dialects = self.dialects if dialect is None else (dialect,)
        for each in dialects:
            self._index_loaded(each)
            feature = table.get((each, payload_type))
            if feature is not None:
                return feature
        role = "request" if table is self.by_request else "response"
        raise missing(payload_type, dialect, self.dialects, role)

    def _index(self, dialect: Dialect, feature: Feature) -> None:
        self.by_request[dialect, feature.request_type] = feature
        if feature.response_type is not None:
            self._by_response.setdefault((dialect, feature.response_type), feature)

    def _index_loaded(self, dialect: Dialect) -> None:
        """Add the features whose types have been imported meanwhile. Two threads may be here at the same time."""
        waiting = self._not_loaded.get(dialect)
        if not waiting:
            return
        loaded = [feature for feature in waiting if feature.is_loaded]
        for feature in loaded:
            self._index(dialect, feature)
        # This comes last: a thread that finds the list empty must find the tables full.
        self._not_loaded[dialect] = [feature for feature in waiting if feature not in loaded]
