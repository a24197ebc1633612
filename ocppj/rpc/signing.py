"""Signed payloads: JSON Web Signatures (OCPP 2.0.1 and 2.1 Part 4, chapter 7).

The action of a signed message ends in ``-Signed``. Its payload is the flattened JWS (RFC 7515 section 7.2.2) of the
normal payload. `unwrap` reads it with the standard library alone. The signature covers the payload, the action and the
message type, but not the message id. So it does not show that a message was recorded and sent again.
"""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Tuple, Union

from ..errors import ErrorCode, UsageError, ValidationError
from ..interrupted import calls_program
from ..option_checks import check_options
from ..payloads.jsontext import MAX_DEPTH, NestedTooDeeply, decode
from .messages import MessageType, SignatureResult, write_json

__all__ = ["ALGORITHMS", "SignatureResult", "Signer", "Verifier", "check_header", "looks_signed", "result_of",
           "sign_payload", "unwrap"]  # fmt: skip

#: The algorithms that OCPP allows (Part 4 section 7.3).
ALGORITHMS = ("ES256", "RS256", "RS384")

#: The text or bytes of a PEM file, or its path.
Pem = Union[str, bytes, "os.PathLike[str]"]
#: (x5t#S256 of the header, client id) -> the certificate or public key of the signature, or None
Lookup = Callable[[Optional[str], str], Optional[Pem]]

_MEMBERS = ("payload", "protected", "signature")
_BASE64URL = re.compile("[A-Za-z0-9_-]*")


def looks_signed(payload: Any) -> bool:
    """Tell whether ``payload`` has the members of a flattened JWS. Their values may be wrong."""
    return isinstance(payload, dict) and all(name in payload for name in _MEMBERS)


def unwrap(signed_payload: Any) -> Tuple[Any, Dict[str, Any]]:
    """Return the payload and the protected header of a signed payload. The signature is not verified.

    Raises:
        ValidationError: It is no flattened JWS of JSON. Members that RFC 7515 does not name are ignored.
    """
    if not isinstance(signed_payload, dict):
        raise _build_error("a signed payload is an object")
    parts = [_decode_base64url(name, signed_payload.get(name)) for name in _MEMBERS]
    if not isinstance(signed_payload.get("header", {}), dict):
        raise _build_error("the unprotected header of a signed payload is an object")
    payload, header = _decode_json("payload", parts[0]), _decode_json("protected header", parts[1])
    if not isinstance(header, dict):
        raise _build_error("the protected header of a signed payload is an object")
    return payload, header


def check_header(header: Mapping[str, Any], action: str, message_type: MessageType) -> None:
    """Raise `ValidationError` if the protected header names another action or message type (Part 4 section 7.1)."""
    if header.get("OCPPAction") != action:
        raise _build_error(f"OCPPAction of the protected header is not {action}")
    # The specification does not say whether the type is a number or text.
    if header.get("OCPPMessageTypeId") not in (int(message_type), str(int(message_type))):
        raise _build_error(f"OCPPMessageTypeId of the protected header is not {int(message_type)}")


def open_payload(signed_payload: Any, action: str, message_type: MessageType) -> Tuple[Any, SignatureResult]:
    """Return the payload inside ``signed_payload``, and its signature, which is not verified yet."""
    payload, header = unwrap(signed_payload)
    check_header(header, action, message_type)
    return payload, result_of(header, None, "there is no verifier")


def result_of(header: Mapping[str, Any], valid: Optional[bool], reason: str = "") -> SignatureResult:
    """Return the result for a message with that protected header."""
    algorithm, x5t = header.get("alg"), header.get("x5t#S256")
    algorithm = algorithm if isinstance(algorithm, str) else None
    return SignatureResult(valid, reason, algorithm, x5t if isinstance(x5t, str) else None, dict(header))


def _build_error(description: str) -> ValidationError:
    return ValidationError(ErrorCode.FORMAT_VIOLATION, "", description)


def _decode_base64url(name: str, text: Any) -> bytes:
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise _build_error(f'"{name}" of a signed payload is base64url text')
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _decode_json(name: str, data: bytes) -> Any:
    try:
        return decode(data.decode("utf-8"), MAX_DEPTH)
    except (RecursionError, NestedTooDeeply):
        raise _build_error(f"the {name} inside a signed payload is nested too deeply") from None
    except ValueError:
        raise _build_error(f"the {name} inside a signed payload is no valid JSON") from None


@calls_program
def sign_payload(
    signer: "Signer", payload: Mapping[str, Any], action: str, message_type: MessageType
) -> Dict[str, Any]:
    """Return the signed payload of a message: a flattened JWS. ``action`` is that of the normal message.

    Raises:
        EncodingError: A value in the payload has no JSON form.
        UsageError: The signer failed.
    """
    data = write_json(payload).encode("utf-8")
    try:
        return signer.sign({"OCPPAction": action, "OCPPMessageTypeId": int(message_type)}, data)
    except Exception as error:
        raise UsageError(f"{action} could not be signed") from error


class Signer:
    """Signs messages with a private key. Thread-safe.

    To sign with a key in a hardware module, override `sign`.

    Args:
        private_key: PEM text, PEM bytes, or the path of a PEM file.
        certificate: The certificate of the key, as PEM or path; of several the first. Messages name it by its
            ``x5t#S256``. Without it the receiver must know which key signs.
        algorithm: "ES256" for a key on P-256; "RS256" or "RS384" for an RSA key. ``None``: "ES256" or "RS256".
        password: The password of an encrypted key.

    Raises:
        UsageError: The key or the certificate cannot be used, or ``joserfc`` is not installed. It never shows the key.
    """

    def __init__(
        self,
        private_key: Pem,
        certificate: Optional[Pem] = None,
        algorithm: Optional[str] = None,
        password: Optional[Union[str, bytes]] = None,
    ) -> None:
        check_options("Signer", locals())
        self._jose = _load_jose()
        secret = password.encode("utf-8") if isinstance(password, str) else password
        self._key = self._jose.private_key(_read_pem(private_key, "private key"), secret)
        fitting = ("ES256",) if self._key.kind == "EC" else ("RS256", "RS384")
        self.algorithm: str = algorithm or fitting[0]
        if self.algorithm not in fitting:
            raise UsageError(f"the key signs with {' or '.join(fitting)}, not {self.algorithm}")
        self.x5t_s256: Optional[str] = None
        if certificate is not None:
            certified = self._jose.public_key(_read_pem(certificate, "certificate"))
            if certified.x5t_s256 is None or certified.public != self._key.public:
                raise UsageError("the certificate is not that of the private key")
            self.x5t_s256 = certified.x5t_s256

    def __repr__(self) -> str:
        return f"<Signer {self.algorithm}, certificate {self.x5t_s256}>"

    def sign(self, header: Mapping[str, Any], payload: bytes) -> Dict[str, Any]:
        """Return the flattened JWS of a payload. It is called on the thread that creates the message.

        Args:
            header: Fields for the protected header: the action and the message type.
            payload: JSON in UTF-8.
        """
        protected = {"alg": self.algorithm, **header}
        if self.x5t_s256 is not None:
            protected["x5t#S256"] = self.x5t_s256
        signed: Dict[str, Any] = self._jose.sign(protected, payload, self._key)
        return signed


class Verifier:
    """Verifies signatures with the certificates of the peers. Thread-safe.

    It does not check whether a certificate is trusted, has expired, or belongs to the client. Give it only certificates
    that are valid, and compare `SignatureResult.x5t_s256` if it matters which peer signed.

    Args:
        certificates: PEM or paths. A message is verified with the one that its ``x5t#S256`` names. If it names none,
            and there is only one, with that. Or a function ``f(x5t_s256, client_id)`` that returns a certificate or
            public key, as PEM or path, or ``None``. It is called for each signed message: for a request on the thread
            that handles it, for an answer on the thread that reads the connection, where it must not block.

    Raises:
        UsageError: A certificate cannot be read, or ``joserfc`` is not installed.
    """

    def __init__(self, certificates: Union[Iterable[Pem], Lookup]) -> None:
        check_options("Verifier", locals())
        self._jose = _load_jose()
        self._lookup: Optional[Lookup] = None
        self._keys: Dict[Optional[str], Any] = {}
        if callable(certificates):
            self._lookup = certificates
            return
        for each in certificates:
            key = self._jose.public_key(_read_pem(each, "certificate"))
            if key.x5t_s256 is None:
                raise UsageError("a public key does not name its certificate: give the certificate, or a function")
            self._keys[key.x5t_s256] = key

    def __repr__(self) -> str:
        return f"<Verifier {'with a function' if self._lookup else f'of {len(self._keys)} certificates'}>"

    def verify(self, signed_payload: Mapping[str, Any], client_id: str = "") -> SignatureResult:
        """Verify a signature. ``client_id`` is for the function that returns certificates.

        Raises:
            ValidationError: The signed payload is no JWS.
            UsageError: The function returned no key. What the function raises is raised, too.
        """
        _, header = unwrap(signed_payload)
        if header.get("alg") not in ALGORITHMS:
            return result_of(header, False, f"the algorithm is none of {', '.join(ALGORITHMS)}")
        if "crit" in header or "b64" in header:  # RFC 7515 section 4.1.11: not understood, hence invalid
            return result_of(header, False, "the header demands extensions that are not understood")
        named = header.get("x5t#S256")
        key = self._find(named if isinstance(named, str) else None, client_id)
        if key is None:
            return result_of(header, None, "the certificate is not known")
        if named is not None and key.x5t_s256 not in (None, named):
            return result_of(header, False, "the certificate is not the one that the header names")
        reason = self._jose.find_signature_fault(signed_payload, header["alg"], key)
        return result_of(header, not reason, reason)

    @calls_program
    def _find(self, x5t: Optional[str], client_id: str) -> Any:
        """Return the key to verify with, or ``None``."""
        if self._lookup is not None:
            found = self._lookup(x5t, client_id)
            return None if found is None else self._jose.public_key(_read_pem(found, "certificate"))
        if x5t is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(x5t)


def _read_pem(source: Pem, what: str) -> bytes:
    """Return the PEM. The error contains neither text nor path: what looks like a path may be a key."""
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
