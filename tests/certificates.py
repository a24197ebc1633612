"""An authority and its certificates for tests of TLS, made anew for each run, in files that are removed at the end."""

import atexit
import datetime
import ipaddress
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional, Sequence, Tuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

PASSWORD = "a key's own password"
_BEGIN = datetime.datetime(2020, 1, 1)  # noqa: DTZ001
_END = datetime.datetime(2100, 1, 1)  # noqa: DTZ001
_PEM = serialization.Encoding.PEM


@lru_cache(maxsize=None)
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="ocppj-certificates-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@lru_cache(maxsize=None)
def _key(kind: str, number: int = 0) -> Any:
    return ec.generate_private_key(ec.SECP256R1()) if kind == "EC" else rsa.generate_private_key(65537, 2048)


def _name(common_names: Sequence[str], organization: str = "ocppj") -> x509.Name:
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)]
    return x509.Name(names + [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common_names])


class Authority:
    """Signs certificates. ``path`` is the file of its own."""

    def __init__(self, name: str) -> None:
        self._name = _name([name])
        self._key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(self._name, self._key)
        certificate = builder.add_extension(x509.BasicConstraints(True, None), True).sign(self._key, hashes.SHA256())
        self.path = _folder() / f"{name}.pem"
        self.path.write_bytes(certificate.public_bytes(_PEM))

    def _builder(self, subject: x509.Name, key: Any) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_BEGIN)
            .not_valid_after(_END)
        )

    @lru_cache(maxsize=None)  # noqa: B019
    def pair(
        self,
        *common_names: str,
        kind: str = "EC",
        dns: Tuple[str, ...] = (),
        ip: Optional[str] = None,
        organization: str = "ocppj",
        password: Optional[str] = None,
    ) -> Tuple[Path, Path]:
        """Return the files of a certificate and of its key."""
        key = _key(kind)
        builder = self._builder(_name(common_names, organization), key)
        others = [x509.DNSName(name) for name in dns] + ([x509.IPAddress(ipaddress.ip_address(ip))] if ip else [])
        if others:
            builder = builder.add_extension(x509.SubjectAlternativeName(others), False)
        certificate = builder.sign(self._key, hashes.SHA256())
        stem = f"{len(list(_folder().iterdir()))}-{kind}"
        files = _folder() / f"{stem}.crt", _folder() / f"{stem}.key"
        files[0].write_bytes(certificate.public_bytes(_PEM))
        encryption = serialization.BestAvailableEncryption(password.encode()) if password else None
        lock = encryption or serialization.NoEncryption()
        files[1].write_bytes(key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, lock))
        return files

    def both(self, *common_names: str, **options: Any) -> Path:
        """Return one file with a certificate and its key."""
        certificate, key = self.pair(*common_names, **options)
        both = certificate.with_suffix(".pem")
        both.write_bytes(certificate.read_bytes() + key.read_bytes())
        return both


@lru_cache(maxsize=None)
def authority() -> Authority:
    """Return the authority that the tests trust."""
    return Authority("authority")


@lru_cache(maxsize=None)
def stranger() -> Authority:
    """Return one that they do not."""
    return Authority("stranger")


def server_file(kind: str = "EC") -> Path:
    """Return the file of a central system's certificate for this machine, and its key."""
    return authority().both("localhost", kind=kind, dns=("localhost",), ip="127.0.0.1")
