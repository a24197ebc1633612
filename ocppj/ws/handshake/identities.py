"""How a server learns the identity of a client that connects: from the path, or from a function. Pure."""

from __future__ import annotations

import inspect
import re
from contextlib import suppress
from dataclasses import replace
from typing import Any, Callable, Dict, List, Optional, Protocol, Sequence, Union
from urllib.parse import quote, unquote_to_bytes

from ...errors import UsageError
from ...interrupted import calls_program
from .refusal import Refusal
from .request import HandshakeRequest
from .urls import identity_fault

__all__ = ["BadIdentity", "Identification", "IdentifyFunction", "IdentityByFunction", "PathTemplate", "PathTemplates",
           "identification"]  # fmt: skip

#: A program's own function: it returns the identity, ``None`` for a client that it does not know, or a `Refusal`.
IdentifyFunction = Callable[[HandshakeRequest], Union[str, Refusal, None]]

_ID = "id"
_DEFAULT_PATH = "/{id}"
_HOW = "a path is a template such as '/ocpp/{id}', or a list of such templates"
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PLAIN = "!$&'()*+,;=:@"  # what a segment may have unencoded, besides letters and the like (RFC 3986 section 3.3)


class BadIdentity(ValueError):
    """What stands in the path cannot be an identity, or another value of a placeholder."""


class Identification(Protocol):
    """Finds the identity of a client."""

    #: The path in the URL of the server, for clients that add their identity to it.
    prefix: str

    def serves(self, path: str) -> bool:
        """Tell whether a raw ``path`` is one that clients may connect to, whatever the identity in it."""

    def identify(self, request: HandshakeRequest) -> Optional[HandshakeRequest]:
        """Return ``request`` with its identity and ``values``; ``None`` for a wrong path. Raises `BadIdentity`."""

    def users(self, request: HandshakeRequest) -> List[str]:
        """Return the user names that fit ``request``, whose identity is known: each names it in Basic credentials."""


def identification(path: Any, identify: Optional[IdentifyFunction]) -> Identification:
    """Return what the arguments of ``listen()`` stand for. Raises `UsageError` for what cannot be meant."""
    if identify is None:
        return PathTemplates(path)
    if path != _DEFAULT_PATH:
        raise UsageError("identify finds the identities in place of a path: give one of the two")
    if not callable(identify):
        raise UsageError(f"identify is a function of a HandshakeRequest, not {type(identify).__name__}")
    return IdentityByFunction(identify)


class PathTemplate:
    """One path, such as ``/ocpp/{id}`` or ``/{tenant}/{id}``. Raises `UsageError` for one that cannot be meant.

    A placeholder stands for one segment. Empty segments, a slash at the end too, are no part of a path: chargers double
    slashes when they put a URL together.
    """

    def __init__(self, template: Any) -> None:
        if not isinstance(template, str):
            raise UsageError(f"{_HOW}, not {type(template).__name__}")
        self.template = template
        if not template.startswith("/"):
            raise self._bad("it begins with '/'")
        #: The segments: a text, or ``None`` for a placeholder.
        self.shape: List[Optional[str]] = []
        self.names: List[str] = []
        for segment in _segments(template):
            self._add(segment)
        if _ID not in self.names:
            raise self._bad("it has no segment '{id}'")
        literals = self.shape[: self.shape.index(None)]
        self.prefix: str = "".join("/" + quote(text or "", safe=_PLAIN) for text in literals)

    def _add(self, segment: str) -> None:
        if "{" not in segment and "}" not in segment:
            self.shape.append(self._literal(segment))
            return
        name = segment[1:-1]
        if segment != f"{{{name}}}" or not name.isidentifier():
            raise self._bad(f"a placeholder is a whole segment, a name in braces; {segment!r} is none")
        if name in self.names:
            raise self._bad(f"{segment} stands in it twice")
        self.names.append(name)
        self.shape.append(None)

    def _literal(self, segment: str) -> str:
        if "*" in segment:
            raise self._bad("'*' stands for nothing: a placeholder such as '{tenant}' stands for any segment")
        if "?" in segment or "#" in segment:
            raise self._bad("it has neither a query nor a fragment")
        try:
            text = _decode(segment.encode("utf-8").decode("iso-8859-1"))
        except (BadIdentity, UnicodeError):
            raise self._bad(f"the segment {segment!r} cannot be decoded") from None
        if text in (".", ".."):  # nobody asks for it: clients remove it (RFC 3986 section 5.2.4)
            raise self._bad(f"no client sends the segment {segment!r}")
        return text

    def _bad(self, story: str) -> UsageError:
        return UsageError(f"{_HOW}; {self.template!r} cannot be one: {story}")

    def match(self, segments: Sequence[str]) -> Optional[Dict[str, str]]:
        """Return the raw segments at the placeholders; ``None`` for another path."""
        if len(segments) != len(self.shape):
            return None
        found = []
        for expected, segment in zip(self.shape, segments):
            if expected is None:
                found.append(segment)
            elif not _spells(segment, expected):
                return None
        return dict(zip(self.names, found))

    def hides(self, other: "PathTemplate") -> bool:
        """Return whether each path of ``other`` is one of this template too."""
        pairs = zip(self.shape, other.shape)
        return len(self.shape) == len(other.shape) and all(mine is None or mine == its for mine, its in pairs)


class PathTemplates:
    """Paths that a server serves: the first one that fits counts."""

    def __init__(self, path: Any) -> None:
        several = isinstance(path, Sequence) and not isinstance(path, (str, bytes, bytearray))
        self._templates = [PathTemplate(each) for each in (path if several else [path])]
        if not self._templates:
            raise UsageError(f"{_HOW}; the list is empty")
        for number, later in enumerate(self._templates):
            for earlier in self._templates[:number]:
                if earlier.hides(later):
                    story = f"the path {later.template!r} is never reached: {earlier.template!r} stands before it"
                    raise UsageError(story)
        self.prefix: str = self._templates[0].prefix

    def serves(self, path: str) -> bool:
        return path.startswith("/") and self._match(_segments(path)) is not None

    def identify(self, request: HandshakeRequest) -> Optional[HandshakeRequest]:
        if not request.path.startswith("/"):  # a request target that is none (RFC 9112 section 3.2.1)
            return None
        segments = _segments(request.path)
        found = self._match(segments)
        if found is None:
            if request.path.endswith("/") and self._match([*segments, ""]) is not None:
                raise BadIdentity("the identity is empty")
            return None
        values = {name: _value(name, segment) for name, segment in found.items()}
        identity = values.pop(_ID)
        return replace(request, identity=identity, values=values)

    def users(self, request: HandshakeRequest) -> List[str]:
        return [request.identity]

    def _match(self, segments: Sequence[str]) -> Optional[Dict[str, str]]:
        for template in self._templates:
            found = template.match(segments)
            if found is not None:
                return found
        return None


class IdentityByFunction:
    """The identities that a function of the program returns."""

    prefix = ""

    def __init__(self, identify: IdentifyFunction) -> None:
        self._identify = identify

    def serves(self, path: str) -> bool:
        return True  # the function decides

    @calls_program
    def identify(self, request: HandshakeRequest) -> Optional[HandshakeRequest]:
        """Return the request with its identity: see `Identification`.

        Raises what the function raises, a `Refusal` that it returns, and ``TypeError``.

        The function may run for several clients at a time.
        """
        identity: Any = self._identify(request)
        if identity is None:
            return None
        if isinstance(identity, Refusal):
            raise identity
        if not isinstance(identity, str):
            if inspect.iscoroutine(identity):
                identity.close()  # else Python warns that it was never awaited
            raise TypeError(f"identify() returned {type(identity).__name__}, not a text or None, nor a Refusal")
        fault = identity_fault(identity)
        if fault is not None:
            raise BadIdentity(f"the identity {fault}")
        return replace(request, identity=identity)

    def users(self, request: HandshakeRequest) -> List[str]:
        """Return the identity, and the one in the URL, which a client knows itself by: it may be another.

        The user name is to be the identity in the URL (Part 2 A00.FR.207). The password is that of ``identity``.
        """
        users = [request.identity]
        with suppress(BadIdentity):
            users += [_value(_ID, segment) for segment in _segments(request.path)[-1:]]
        return users


def _segments(path: str) -> List[str]:
    return [segment for segment in path.split("/") if segment]


def _spells(segment: str, text: str) -> bool:
    if "%" not in segment and segment.isascii():
        return segment == text
    try:
        return _decode(segment) == text
    except BadIdentity:
        return False


def _value(name: str, segment: str) -> str:
    """Return the decoded ``segment``, the value of a placeholder. Raises `BadIdentity`."""
    what = "identity" if name == _ID else f"{{{name}}} of the path"
    try:
        value = _decode(segment)
    except BadIdentity as error:
        raise BadIdentity(f"the {what} {error}") from None
    fault = identity_fault(value)
    if fault is not None:
        raise BadIdentity(f"the {what} {fault}")
    return value


def _decode(segment: str) -> str:
    """Decode one raw segment. Its characters are bytes, read as ISO 8859-1."""
    if _BAD_PERCENT.search(segment):
        raise BadIdentity("has a percent sign that encodes nothing")
    try:
        return unquote_to_bytes(segment.encode("iso-8859-1")).decode("utf-8")
    except UnicodeError:
        raise BadIdentity("is not UTF-8") from None
