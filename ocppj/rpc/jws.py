"""Keys, certificates and JSON Web Signatures. Only this module imports ``joserfc`` and ``cryptography``.

`ocppj.rpc.signing` imports this module when a signer or a verifier is made. No error of this module contains what was
read: it may be a private key.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from ..errors import UsageError

__all__ = ["Key", "find_signature_fault", "private_key", "public_key", "sign"]


@dataclass(frozen=True)
class Key:
    """A key that signs or verifies, and the ``x5t#S256`` of its certificate if that is known."""

    kind: str  #: "RSA" or "EC" (on P-256)
    public: bytes = field(repr=False)  #: the public half, in DER
    jwk: Any = field(repr=False)
    x5t_s256: Optional[str] = None


def private_key(pem: bytes, password: Optional[bytes]) -> Key:
    """Return the private key of ``pem``. Raises `UsageError`."""
    try:
        key: Any = load_pem_private_key(pem, password)
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    except Exception as error:  # cryptography raises many kinds
        fault = type(error).__name__
    else:
        return _build_key(key.public_key(), plain)
    raise UsageError(f"the private key cannot be read ({fault})")


def public_key(pem: bytes) -> Key:
    """Return the key of a certificate (of several the first), or a public key. Raises `UsageError`."""
    try:
        if b"-----BEGIN CERTIFICATE" not in pem:
            public: Any = load_pem_public_key(pem)
            x5t = None
        else:
            certificate = x509.load_pem_x509_certificate(pem)
            public = certificate.public_key()
            digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
            x5t = base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
        plain = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    except Exception as error:
        fault = type(error).__name__
    else:
        return _build_key(public, plain, x5t)
    raise UsageError(f"the certificate cannot be read ({fault})")


def _build_key(public: Any, pem: bytes, x5t: Optional[str] = None) -> Key:
    """Return the key in ``pem``, whose public half is ``public``. Raises `UsageError` for other kinds of keys."""
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if isinstance(public, rsa.RSAPublicKey):
        return Key("RSA", der, RSAKey.import_key(pem), x5t)
    if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1):
        return Key("EC", der, ECKey.import_key(pem), x5t)
    raise UsageError("only RSA keys and keys on the elliptic curve P-256 sign OCPP messages")


class _Registry(jws.JWSRegistry):
    """Has no bounds of its own for sizes: the transport bounds the message."""

    max_header_length = max_payload_length = max_signature_length = 2**62


def _build_registry(algorithm: str) -> jws.JWSRegistry:
    return _Registry(algorithms=[algorithm], strict_check_header=False)  # OCPP adds header fields


def sign(header: Dict[str, Any], payload: bytes, key: Key) -> Dict[str, Any]:
    """Return the flattened JWS of ``payload``. The protected ``header`` names the algorithm, ``alg``."""
    return dict(jws.serialize_json({"protected": header}, payload, key.jwk, registry=_build_registry(header["alg"])))


def find_signature_fault(signed_payload: Mapping[str, Any], algorithm: str, key: Key) -> str:
    """Return why the signature of a flattened JWS is not valid, or ``""`` if it is."""
    value: Any = {name: signed_payload[name] for name in ("payload", "protected", "signature")}
    try:
        jws.deserialize_json(value, key.jwk, registry=_build_registry(algorithm))
    except (JoseError, ValueError, TypeError) as error:
        return f"the signature does not verify ({type(error).__name__})"
    return ""
