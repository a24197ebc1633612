"""Signed messages: JSON Web Signatures around payloads (OCPP 2.0.1 and 2.1 Part 4, chapter 7).

A signed message is a normal one whose action ends in ``-Signed`` and whose payload is the flattened JWS (RFC 7515
section 7.2.2) of the normal payload. `unwrap` reads one with nothing but the standard library. To sign and to verify
takes ``joserfc``, which the extra ``ocppj[signed]`` installs: it is imported when a `Signer` or a `Verifier` is made.

The signature covers the payload, the action and the message type. It does not cover the message id: it does not tell
whether a message was recorded and sent again.
"""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Tuple, Union

from ..errors import ErrorCode, UsageError, ValidationError
from ..payloads.jsontext import MAX_DEPTH, NestedTooDeeply
from .messages import MessageType, SignatureResult, decode_json, write_json

__all__ = [
    "ALGORITHMS",
    "SignatureResult",
    "Signer",
    "Verifier",
    "check_header",
    "looks_signed",
    "result_of",
    "sign_payload",
    "unwrap",
]

#: What may be used (Part 4 section 7.3).
ALGORITHMS = ("ES256", "RS256", "RS384")

#: The text or bytes of a PEM file, or its path.
Pem = Union[str, bytes, "os.PathLike[str]"]
#: (x5t#S256 of the header, client id) -> the certificate or public key to verify with, or None
Lookup = Callable[[Optional[str], str], Optional[Pem]]

_MEMBERS = ("payload", "protected", "signature")
_BASE64URL = re.compile("[A-Za-z0-9_-]*")


def looks_signed(payload: Any) -> bool:
    """Tell whether ``payload`` has the members of a flattened JWS, well formed or not."""
    return isinstance(payload, dict) and all(name in payload for name in _MEMBERS)


def unwrap(signed_payload: Any) -> Tuple[Any, Dict[str, Any]]:
    """Return the payload inside ``signed_payload``, and its protected header. Nothing is verified.

    Raises `ValidationError` (FormatViolation) when it is no flattened JWS of JSON. Members that RFC 7515 does not name
    are ignored.
    """
    if not isinstance(signed_payload, dict):
        raise _malformed("a signed payload is an object")
    parts = [_base64url(name, signed_payload.get(name)) for name in _MEMBERS]
    if not isinstance(signed_payload.get("header", {}), dict):
        raise _malformed("the unprotected header of a signed payload is an object")
    payload, header = _json("payload", parts[0]), _json("protected header", parts[1])
    if not isinstance(header, dict):
        raise _malformed("the protected header of a signed payload is an object")
    return payload, header


def check_header(header: Mapping[str, Any], action: str, message_type: MessageType) -> None:
    """Raise `ValidationError` when ``header`` is that of another action or message type (Part 4 section 7.1)."""
    if header.get("OCPPAction") != action:
        raise _malformed(f"OCPPAction of the protected header is not {action}")
    # The specification does not say whether it is a number or text.
    if header.get("OCPPMessageTypeId") not in (int(message_type), str(int(message_type))):
        raise _malformed(f"OCPPMessageTypeId of the protected header is not {int(message_type)}")


def result_of(header: Mapping[str, Any], valid: Optional[bool], reason: str = "") -> SignatureResult:
    """Return the result about a message of that protected header."""
    algorithm, x5t = header.get("alg"), header.get("x5t#S256")
    return SignatureResult(
        valid,
        reason,
        algorithm if isinstance(algorithm, str) else None,
        x5t if isinstance(x5t, str) else None,
        dict(header),
    )


def _malformed(words: str) -> ValidationError:
    return ValidationError(ErrorCode.FORMAT_VIOLATION, "", words)


def _base64url(name: str, text: Any) -> bytes:
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise _malformed(f'"{name}" of a signed payload is base64url text')
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _json(name: str, data: bytes) -> Any:
    try:
        return decode_json(data.decode("utf-8"), MAX_DEPTH)
    except (RecursionError, NestedTooDeeply):
        raise _malformed(f"the {name} inside a signed payload is nested too deeply") from None
    except ValueError:
        raise _malformed(f"the {name} inside a signed payload is no valid JSON") from None


def sign_payload(
    signer: "Signer", payload: Mapping[str, Any], action: str, message_type: MessageType
) -> Dict[str, Any]:
    """Return the signed payload of a message: the flattened JWS of ``payload``, a JSON object.

    Raises `EncodingError` when it cannot be written, and `UsageError` when ``signer`` fails.
    """
    data = write_json(payload).encode("utf-8")
    try:
        return signer.sign({"OCPPAction": action, "OCPPMessageTypeId": int(message_type)}, data)
    except Exception as error:
        raise UsageError(f"{action} could not be signed") from error


class Signer:
    """A private key that signs. Thread-safe.

    ``private_key`` is the text or path of a PEM file; ``password`` opens an encrypted one. Messages name
    ``certificate`` (PEM or path; the first, if there are several) by its ``x5t#S256``: without it the receiver has to
    know whose key it is. ``algorithm`` is that of the key: ES256 for the elliptic curve P-256, RS256 for RSA unless it
    is to be RS384.

    Raises `UsageError` when the key or the certificate cannot be used, and when ``joserfc`` is not installed; what it
    says never holds the key. A key in a hardware module: override `sign`.
    """

    def __init__(
        self,
        private_key: Pem,
        certificate: Optional[Pem] = None,
        algorithm: Optional[str] = None,
        password: Optional[Union[str, bytes]] = None,
    ) -> None:
        self._jose = _load_jose()
        secret = password.encode("utf-8") if isinstance(password, str) else password
        self._key = self._jose.private_key(_read(private_key, "private key"), secret)
        fitting = ("ES256",) if self._key.kind == "EC" else ("RS256", "RS384")
        self.algorithm = algorithm or fitting[0]
        if self.algorithm not in fitting:
            raise UsageError(f"the key signs with {' or '.join(fitting)}, not {self.algorithm}")
        self.x5t_s256: Optional[str] = None
        if certificate is not None:
            certified = self._jose.public_key(_read(certificate, "certificate"))
            if certified.x5t_s256 is None or certified.public != self._key.public:
                raise UsageError("the certificate is not that of the private key")
            self.x5t_s256 = certified.x5t_s256

    def __repr__(self) -> str:
        return f"<Signer {self.algorithm}, certificate {self.x5t_s256}>"

    def sign(self, header: Mapping[str, Any], payload: bytes) -> Dict[str, Any]:
        """Return the flattened JWS of ``payload``; ``header`` is put into the protected header."""
        protected = {"alg": self.algorithm, **header}
        if self.x5t_s256 is not None:
            protected["x5t#S256"] = self.x5t_s256
        signed: Dict[str, Any] = self._jose.sign(protected, payload, self._key)
        return signed


class Verifier:
    """The certificates of those who sign. Thread-safe.

    ``certificates`` are PEM texts or paths: a message is verified with the one that its ``x5t#S256`` names, or with the
    only one if it names none. A function ``f(x5t_s256, client_id)`` in their place returns the certificate or public
    key, as PEM or path, or ``None``. It is called for each signed message: on the thread that handles a request, and on
    the one that reads the connection for an answer, where it must not block.

    Whether a certificate is trusted, has expired, or belongs to this client is not looked at: give those that count,
    and compare `SignatureResult.x5t_s256` where it matters who signed.

    Raises `UsageError` when a certificate cannot be read, and when ``joserfc`` is not installed.
    """

    def __init__(self, certificates: Union[Iterable[Pem], Lookup]) -> None:
        self._jose = _load_jose()
        self._lookup: Optional[Lookup] = None
        self._keys: Dict[Optional[str], Any] = {}
        if callable(certificates):
            self._lookup = certificates
            return
        if isinstance(certificates, (str, bytes, os.PathLike)):
            raise UsageError("certificates are a list of PEM texts or paths, or a function")
        for each in certificates:
            key = self._jose.public_key(_read(each, "certificate"))
            if key.x5t_s256 is None:
                raise UsageError("a public key says nothing of its certificate: give the certificate, or a function")
            self._keys[key.x5t_s256] = key

    def __repr__(self) -> str:
        return f"<Verifier {'with a function' if self._lookup else f'of {len(self._keys)} certificates'}>"

    def verify(self, signed_payload: Mapping[str, Any], client_id: str = "") -> SignatureResult:
        """Say whether the signature of ``signed_payload`` is good.

        Raises `ValidationError` when it is no JWS, `UsageError` when the function returns what is no key, and what the
        function raises.
        """
        _, header = unwrap(signed_payload)
        reason = _header_fault(header)
        if reason:
            return result_of(header, False, reason)
        named = header.get("x5t#S256")
        key = self._find(named if isinstance(named, str) else None, client_id)
        if key is None:
            return result_of(header, None, "the certificate is not known")
        if named is not None and key.x5t_s256 not in (None, named):
            return result_of(header, False, "the certificate is not the one that the header names")
        reason = self._jose.verification_fault(signed_payload, header["alg"], key)
        return result_of(header, not reason, reason)

    def _find(self, x5t: Optional[str], client_id: str) -> Any:
        """Return the key to verify with, or ``None``."""
        if self._lookup is not None:
            found = self._lookup(x5t, client_id)
            return None if found is None else self._jose.public_key(_read(found, "certificate"))
        if x5t is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(x5t)


def _header_fault(header: Mapping[str, Any]) -> str:
    """Return why a signature of that protected header is never good, whatever the key; ``""`` if it may be."""
    if header.get("alg") not in ALGORITHMS:
        return f"the algorithm is none of {', '.join(ALGORITHMS)}"
    if "crit" in header or "b64" in header:  # RFC 7515 section 4.1.11: not understood, hence invalid
        return "the header demands extensions that are not understood"
    return ""


def _read(source: Pem, what: str) -> bytes:
    """Return the PEM. The error names neither text nor path: what was taken for a path may be a key."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, str) and "-----BEGIN" in source:
        return source.encode("utf-8", "replace")
    try:
        return Path(source).read_bytes()
    except (OSError, ValueError, TypeError) as error:
        kind = type(error).__name__
    raise UsageError(f"the {what} is neither PEM nor a file that can be read ({kind})")


def _load_jose() -> Any:
    try:
        from . import jws as jose
    except ImportError as error:
        raise UsageError("signed messages need the package joserfc: pip install 'ocppj[signed]'") from error
    return jose
