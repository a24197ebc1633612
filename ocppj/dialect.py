"""Everything that differs by OCPP version, in one table per version."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Dict, FrozenSet, Mapping, Optional, Union

from .errors import ErrorCode, parse_error_code
from .messages import MessageType

__all__ = ["DIALECTS", "V16", "Dialect", "is_error_code_valid"]

_REQUEST = "Request.json"


@dataclass(frozen=True, eq=False)
class Dialect:
    """One OCPP version's way of saying things.

    ``spellings`` maps each `ErrorCode` that the version has to its text on the wire. ``unreadable_id`` is the id
    under which a frame without a readable id is answered, ``None`` where such a frame gets no answer.
    ``repeated_id_code`` answers a CALL whose id is being handled already. ``signed_messages`` says whether each action
    has a signed form (2.x Part 4 chapter 7).
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

    def spell(self, code: Union[ErrorCode, str]) -> str:
        """Return ``code`` as this version writes it; a code the version lacks becomes its nearest, GenericError."""
        if isinstance(code, ErrorCode):
            return self.spellings.get(code, self.spellings[ErrorCode.GENERIC_ERROR])
        return code

    @property
    def actions(self) -> FrozenSet[str]:
        """The names of all actions that the version's catalogue has, registered or not."""
        return _actions(self.package)

    def load_schema(self, name: str) -> Dict[str, Any]:
        """Return the bundled JSON schema ``name`` (such as ``"BootNotificationRequest"``), read from the package."""
        text = resources.files(self.package).joinpath("schemas").joinpath(name + ".json").read_text("utf-8")
        schema: Dict[str, Any] = json.loads(text)
        return schema


@lru_cache(maxsize=None)
def _actions(package: str) -> FrozenSet[str]:
    names = (entry.name for entry in resources.files(package).joinpath("schemas").iterdir())
    return frozenset(name[: -len(_REQUEST)] for name in names if name.endswith(_REQUEST))


_COMMON_CODES = (
    ErrorCode.NOT_IMPLEMENTED,
    ErrorCode.NOT_SUPPORTED,
    ErrorCode.INTERNAL_ERROR,
    ErrorCode.PROTOCOL_ERROR,
    ErrorCode.SECURITY_ERROR,
    ErrorCode.PROPERTY_CONSTRAINT_VIOLATION,
    ErrorCode.TYPE_CONSTRAINT_VIOLATION,
    ErrorCode.GENERIC_ERROR,
)

#: OCPP-J 1.6: error codes of section 4.2.3, misspelt for good by its errata 5.1 and 5.2.
V16 = Dialect(
    version="1.6",
    subprotocol="ocpp1.6",
    package="ocppj.v16",
    message_types=frozenset({MessageType.CALL, MessageType.CALL_RESULT, MessageType.CALL_ERROR}),
    spellings={
        **{code: code.value for code in _COMMON_CODES},
        ErrorCode.FORMAT_VIOLATION: "FormationViolation",
        ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION: "OccurenceConstraintViolation",
    },
    repeated_id_code=ErrorCode.PROTOCOL_ERROR,
)

#: Every version this library speaks.
DIALECTS = (V16,)


def is_error_code_valid(code: Union[ErrorCode, str], dialect: Optional[Dialect] = None) -> bool:
    """Tell whether ``code`` is an error code: of ``dialect`` in its own spelling, or of any version without one."""
    if dialect is None:
        return isinstance(parse_error_code(code), ErrorCode)
    if isinstance(code, ErrorCode):
        return code in dialect.spellings
    return code in dialect.spellings.values()
