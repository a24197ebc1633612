"""The OCPP versions: what differs between them, in one table per version."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module, resources
from typing import Any, Dict, FrozenSet, Mapping, Optional, Type, Union

from ..errors import ErrorCode, parse_error_code
from .messages import MessageType

__all__ = ["DIALECTS", "V16", "V21", "V201", "Dialect", "is_error_code_valid"]


@dataclass(frozen=True, eq=False)
class Dialect:
    """An OCPP version.

    Attributes:
        version: Such as "2.0.1".
        subprotocol: The WebSocket subprotocol.
        package: The package with the messages.
        message_types: The message types that the version has.
        spellings: The text on the wire of each `ErrorCode` that the version has.
        repeated_id_code: The code of the answer to a CALL with the id of a CALL that is being handled.
        unreadable_id: The id in the answer to a frame without a readable id. ``None``: there is no answer.
        max_identity: The longest identity of a charging station, in characters. ``None``: no limit, and any character.
        signed_messages: Whether the version has signed messages (2.x Part 4 chapter 7).
    """

    version: str
    subprotocol: str
    package: str
    message_types: FrozenSet[MessageType]
    spellings: Mapping[ErrorCode, str]
    repeated_id_code: ErrorCode
    unreadable_id: Optional[str] = None
    max_identity: Optional[int] = None
    signed_messages: bool = False

    def __repr__(self) -> str:
        return f"<Dialect OCPP {self.version}>"

    def allows_identity(self, identity: str) -> bool:
        """Tell whether a charging station may have this identity: in 2.x at most 48 characters, and no colon."""
        return self.max_identity is None or (len(identity) <= self.max_identity and ":" not in identity)

    def spell(self, code: Union[ErrorCode, str]) -> str:
        """Return ``code`` as this version writes it. A code that the version does not have becomes GenericError."""
        if isinstance(code, ErrorCode):
            return self.spellings.get(code, self.spellings[ErrorCode.GENERIC_ERROR])
        return code

    @property
    def actions(self) -> FrozenSet[str]:
        """All actions of the version, whether a profile has them or not."""
        return _list_actions(self.package)

    def load_schema(self, name: str) -> Dict[str, Any]:
        """Return a bundled JSON schema, such as "BootNotificationRequest"."""
        path = resources.files(self.package).joinpath("schemas").joinpath(name + ".json")
        return dict(json.loads(path.read_text("utf-8")))

    def load_type(self, name: str) -> Type[Any]:
        """Import and return a message, data type or enum of the version. Raises `AttributeError` if there is none."""
        for module in ("enums", "datatypes", "messages"):  # each imports the ones before it
            found = getattr(import_module(f"{self.package}.{module}"), name, None)
            if isinstance(found, type) and found.__module__.startswith(self.package):
                return found
        raise AttributeError(f"OCPP {self.version} has no type {name!r}")

    def profile_with(self, action: str) -> Optional[str]:
        """Return the name in the version's package of the profile with ``action``, such as "CORE", or ``None``."""
        profiles = vars(import_module(f"{self.package}.profiles"))
        named = ((name, each) for name, each in profiles.items() if hasattr(each, "supports_feature"))
        return next((name for name, each in named if name.isupper() and each.supports_feature(action)), None)

    @property
    def is_loaded(self) -> bool:
        """Whether the messages have been imported. Before that no object of their types exists."""
        return f"{self.package}.messages" in sys.modules


@lru_cache(maxsize=None)
def _list_actions(package: str) -> FrozenSet[str]:
    files = (entry.name for entry in resources.files(package).joinpath("schemas").iterdir())
    names = [name[: -len(".json")] for name in files if name.endswith(".json")]
    # AuthorizeRequest is the request of Authorize. The message of a SEND has the name of its action.
    return frozenset(re.sub("Request$", "", name) for name in names if not name.endswith("Response"))


#: The codes of 2.x.
_ALL_CODES = {code: code.value for code in ErrorCode}
_NEW_IN_2 = (ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED, ErrorCode.RPC_FRAMEWORK_ERROR)

#: OCPP-J 1.6: the error codes are in section 4.2.3. Its errata 5.1 and 5.2 keep the misspelt ones.
V16 = Dialect(
    version="1.6",
    subprotocol="ocpp1.6",
    package="ocppj.v16",
    message_types=frozenset({MessageType.CALL, MessageType.CALL_RESULT, MessageType.CALL_ERROR}),
    spellings={
        **{code: text for code, text in _ALL_CODES.items() if code not in _NEW_IN_2},
        ErrorCode.FORMAT_VIOLATION: "FormationViolation",
        ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION: "OccurenceConstraintViolation",
    },
    repeated_id_code=ErrorCode.PROTOCOL_ERROR,
)

#: OCPP 2.0.1 Part 4: the id "-1" is in section 4.2.3, the error codes in 4.3. Part 2 limits the identity.
V201 = Dialect(
    version="2.0.1",
    subprotocol="ocpp2.0.1",
    package="ocppj.v201",
    message_types=V16.message_types,
    spellings=_ALL_CODES,
    repeated_id_code=ErrorCode.RPC_FRAMEWORK_ERROR,
    unreadable_id="-1",
    max_identity=48,
    signed_messages=True,
)

#: OCPP 2.1 Part 4 adds two message types (sections 4.2.3 and 4.2.4).
V21 = replace(
    V201,
    version="2.1",
    subprotocol="ocpp2.1",
    package="ocppj.v21",
    message_types=V201.message_types | {MessageType.CALL_RESULT_ERROR, MessageType.SEND},
)

#: All supported versions.
DIALECTS = (V16, V201, V21)


def is_error_code_valid(code: Union[ErrorCode, str], dialect: Optional[Dialect] = None) -> bool:
    """Tell whether an error code exists, in ``dialect`` and its spelling, or in any version."""
    if dialect is None:
        return isinstance(parse_error_code(code), ErrorCode)
    if isinstance(code, ErrorCode):
        return code in dialect.spellings
    return code in dialect.spellings.values()
