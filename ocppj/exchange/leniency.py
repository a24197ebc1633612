"""`LenientReader`: frames that are almost right, for the modes that forgive (`ocppj.settings.Validation`).

Only a frame that was refused comes here, so that a valid one costs nothing more. Nothing is forgiven in ``strict``.
``standard`` forgives control characters and byte-order marks in the text; ``warn`` and ``off`` also what
`ocppj.rpc.lenient_frames` mends.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, Optional, Sequence

from ..errors import MessageError
from ..payloads.jsontext import is_loose
from ..rpc.dialect import Dialect
from ..rpc.endpoint import Endpoint
from ..rpc.lenient_frames import mend_frame
from ..rpc.messages import Message, parse_json_message
from .connection import Connection

__all__ = ["LenientReader", "Reading"]


class Reading(NamedTuple):
    """A frame that was read again: its elements if they can be read, and either its message or what is wrong with it.

    ``message`` is ``None`` for an answer to no pending request, too.
    """

    fields: Optional[Sequence[Any]]
    message: Optional[Message]
    error: Optional[MessageError]


class LenientReader:
    """Reads again what was refused, as leniently as the mode of the peer says."""

    def __init__(self, endpoint: Endpoint, max_depth: Optional[int]) -> None:
        self._endpoint = endpoint
        self._max_depth = max_depth

    def read(
        self,
        connection: Connection,
        text: str,
        fields: Optional[Sequence[Any]],
        error: MessageError,
        again: bool = False,
    ) -> Reading:
        """Return what can be made of ``text``, which was refused with ``error``.

        ``fields`` are its elements, if they could be read. ``again`` is as in `Endpoint.parse_message`.
        """
        mode = self._endpoint.validation_for(connection.client_id).incoming
        reading = Reading(fields, None, error)
        if mode == "strict":
            return reading
        if fields is None:
            if not is_loose(text):
                return reading
            try:
                fields = parse_json_message(text, max_depth=self._max_depth, loosely=True)
            except MessageError as refusal:
                return Reading(None, None, refusal)
            self._warn(connection, "the text has control characters or a byte-order mark")
            reading = self._parse(connection, fields, again)
        if mode == "standard" or reading.error is None:
            return reading
        dialect = connection.dialect
        mended = mend_frame(fields, dialect, partial(self._is_known, dialect=dialect))
        if mended is None:
            return reading
        for fault in mended.faults:
            self._warn(connection, fault)
        return self._parse(connection, mended.fields, again)

    def _parse(self, connection: Connection, fields: Sequence[Any], again: bool) -> Reading:
        pending, dialect = connection.pending, connection.dialect
        try:
            message = self._endpoint.parse_message(fields, pending, dialect, connection.client_id, again=again)
        except MessageError as error:
            return Reading(fields, None, error)
        return Reading(fields, message, None)

    def _is_known(self, action: str, dialect: Dialect) -> bool:
        return self._endpoint.get_profile_for_feature(action, dialect) is not None

    def _warn(self, connection: Connection, fault: str) -> None:
        text = "%s: read a frame that is almost right: %s (told once)"
        self._endpoint.peer_warnings.warn(connection.client_id, fault, text, connection.client_id, fault)
