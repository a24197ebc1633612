"""`FeatureRegistry`: the profiles of an endpoint, and which feature an action or a type stands for."""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Type

from ..errors import DuplicateFeature, UnsupportedFeature, UsageError
from ..payloads.model import Payload
from .dialect import Dialect
from .features import Feature, Profile
from .validation import check_schemas

__all__ = ["FeatureRegistry"]

_ByType = Dict[Tuple[Dialect, Type[Payload]], Feature]


class FeatureRegistry:
    """Profiles, of any number of OCPP versions."""

    def __init__(self, profiles: Iterable[Profile] = ()) -> None:
        #: The features by version and action. It is only read from outside.
        self.by_action: Dict[Tuple[Dialect, str], Feature] = {}
        self._profiles: List[Profile] = []
        self._by_request: _ByType = {}
        self._by_response: _ByType = {}
        # Features whose types are not imported yet, so that the two tables above lack them.
        self._unread: Dict[Dialect, List[Feature]] = {}
        given: object = profiles
        if isinstance(given, (str, Profile)) or not hasattr(given, "__iter__"):
            raise UsageError(f"profiles is a list of profiles, such as v16.PROFILES, not {profiles!r}")
        for profile in profiles:
            self.add_profile(profile)

    @property
    def profiles(self) -> Sequence[Profile]:
        """The profiles, in the order they were added."""
        return tuple(self._profiles)

    @property
    def dialects(self) -> Sequence[Dialect]:
        """The OCPP versions of the profiles, in the order they were first added: the order of preference."""
        return tuple(dict.fromkeys(profile.dialect for profile in self._profiles))

    def add_profile(self, profile: Profile) -> None:
        """Add a profile, with the features that it has now. Nothing is added when it is refused.

        Args:
            profile: The profile to add.

        Raises:
            DuplicateFeature: Its name, one of its actions or one of its request types is there already in the same
                OCPP version.
            UsageError: It is no profile, or a schema of one's own is no JSON schema.
        """
        if not isinstance(profile, Profile):
            raise UsageError(f"a list of profiles is wanted, and {profile!r} in it is none")
        dialect = profile.dialect
        self._read_types(dialect)
        if any(each.name == profile.name and each.dialect is dialect for each in self._profiles):
            raise DuplicateFeature(f"a profile {profile.name!r} of OCPP {dialect.version} is there already")
        for feature in profile:
            known = feature.is_loaded and (dialect, feature.request_type) in self._by_request
            if known or (dialect, feature.name) in self.by_action:
                raise DuplicateFeature(f"a feature {feature.name!r} of OCPP {dialect.version} is there already")
            check_schemas(feature)
        self._profiles.append(profile)
        for feature in profile:
            self.by_action[dialect, feature.name] = feature
            if feature.is_loaded:
                self._index(dialect, feature)
            else:
                self._unread.setdefault(dialect, []).append(feature)

    def get_profile(self, name: str, dialect: Optional[Dialect] = None) -> Optional[Profile]:
        """Return the profile of that name (in that version, or the first that has it), or ``None``."""
        for profile in self._profiles:
            if profile.name == name and dialect in (None, profile.dialect):
                return profile
        return None

    def get_profile_for_feature(self, name: str, dialect: Optional[Dialect] = None) -> Optional[Profile]:
        """Return the profile that has the action ``name`` (in that version, or the first that does), or ``None``."""
        for profile in self._profiles:
            if profile.supports_feature(name) and dialect in (None, profile.dialect):
                return profile
        return None

    def get_dialect(self, subprotocol: str) -> Optional[Dialect]:
        """Return the version of that WebSocket subprotocol, or ``None`` when there is no profile of it."""
        for dialect in self.dialects:
            if dialect.subprotocol == subprotocol:
                return dialect
        return None

    def default_dialect(self) -> Dialect:
        """Return the version that is meant where none is named. Raises `UsageError` when there are no profiles."""
        if not self._profiles:
            raise UsageError("the endpoint has no profiles, hence no OCPP version")
        return self._profiles[0].dialect

    def dialect_of(self, request_type: Type[Payload]) -> Dialect:
        """Return the first version that has the request. Raises `UnsupportedFeature`."""
        self.of_request(request_type)
        return next(each for each in self.dialects if (each, request_type) in self._by_request)

    def of_request(self, request_type: Type[Payload], dialect: Optional[Dialect] = None) -> Feature:
        """Return the feature of a request (of that version, or the first that has it).

        Args:
            request_type: The type of the request.
            dialect: The version, or ``None`` for any.

        Raises:
            UnsupportedFeature: No profile has the request.
        """
        return self._lookup(self._by_request, request_type, dialect)

    def of_response(
        self, response_type: Type[Payload], dialect: Optional[Dialect] = None, action: Optional[str] = None
    ) -> Feature:
        """Return the feature of a response (of that version, or the first that has it).

        Args:
            response_type: The type of the response.
            dialect: The version, or ``None`` for any.
            action: The action that is answered, where it is known. Several actions may have one type of response.

        Raises:
            UnsupportedFeature: No profile has the response, or it does not answer that action.
        """
        feature = self._lookup(self._by_response, response_type, dialect)
        if action is not None and feature.name != action:
            known = self.by_action.get((dialect or self.default_dialect(), action))
            if known is None or not issubclass(response_type, known.response_type or ()):
                raise UnsupportedFeature(f"{response_type.__name__} does not answer {action}")
            feature = known
        return feature

    def _lookup(
        self,
        table: Mapping[Tuple[Dialect, Type[Payload]], Feature],
        payload_type: Type[Payload],
        dialect: Optional[Dialect],
    ) -> Feature:
        if dialect is not None and (dialect, payload_type) in table:
            return table[dialect, payload_type]
        dialects = self.dialects if dialect is None else (dialect,)
        for each in dialects:
            self._read_types(each)
            feature = table.get((each, payload_type))
            if feature is not None:
                return feature
        versions = ", ".join(each.version for each in dialects) or "none"
        raise UnsupportedFeature(f"no profile has {payload_type.__name__} (OCPP version: {versions})")

    def _index(self, dialect: Dialect, feature: Feature) -> None:
        self._by_request[dialect, feature.request_type] = feature
        if feature.response_type is not None:
            self._by_response.setdefault((dialect, feature.response_type), feature)

    def _read_types(self, dialect: Dialect) -> None:
        """Index the features of ``dialect`` whose types have been imported since they were added.

        Nothing is imported for it: who asks for a feature by its type has the type. Two threads may do it at once.
        """
        unread = self._unread.get(dialect)
        if not unread:
            return
        loaded = {feature for feature in unread if feature.is_loaded}
        for feature in unread:
            if feature in loaded:
                self._index(dialect, feature)
        # The last, so that who finds it empty finds the tables full.
        self._unread[dialect] = [feature for feature in unread if feature not in loaded]
