"""Keys and certificates for tests of signed messages, made anew for each run; and JWS put together by hand."""

import base64
import datetime
import hashlib
import json
import ssl
from functools import lru_cache

import pytest

pytest.importorskip("joserfc")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509.oid import NameOID

PAYLOAD = {"n": 1, "name": "Zürich €"}
HEADER = {"alg": "ES256", "OCPPAction": "Ask", "OCPPMessageTypeId": 2}


def _pair(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    day = datetime.datetime(2020, 1, 1)  # noqa: DTZ001
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(day)
        .not_valid_after(day + datetime.timedelta(days=30000))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


@lru_cache(maxsize=None)
def _pair_of(kind):
    return _pair(ec.generate_private_key(ec.SECP256R1()) if kind == "EC" else rsa.generate_private_key(65537, 2048))


def key_and_certificate(algorithm):
    """Return the private key and the certificate, in PEM, that the tests use with ``algorithm``."""
    return _pair_of("EC" if algorithm == "ES256" else "RSA")


#: One of an elliptic curve, one RSA.
CERTIFICATES = [key_and_certificate("ES256")[1], key_and_certificate("RS256")[1]]
#: A key and certificate that nobody is told of.
OTHER = _pair(ec.generate_private_key(ec.SECP256R1()))


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def flat(value):
    return b64(json.dumps(value).encode())


def thumbprint(certificate):
    """Return the x5t#S256 of a PEM certificate, found without cryptography."""
    return b64(hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).digest())


def jws_of(header, payload, signature=b""):
    """Return a flattened JWS of these bytes."""
    return {"payload": b64(payload), "protected": b64(header), "signature": b64(signature)}


def by_hand(algorithm, header, payload):
    """Return the flattened JWS of these bytes, signed with the key of ``algorithm``: RFC 7515 5.1, RFC 7518 3."""
    key = serialization.load_pem_private_key(key_and_certificate(algorithm)[0].encode(), None)
    text = f"{b64(header)}.{b64(payload)}".encode()
    if algorithm == "ES256":
        r, s = utils.decode_dss_signature(key.sign(text, ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    else:
        signature = key.sign(text, padding.PKCS1v15(), getattr(hashes, "SHA" + algorithm[2:])())
    return jws_of(header, payload, signature)
