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
_LONG_AGO = datetime.datetime(2021, 1, 1)  # noqa: DTZ001
_BITS = {"RSA": 2048, "RSA-1024": 1024}
_PEM = serialization.Encoding.PEM


@lru_cache(maxsize=None)
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="ocppj-certificates-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@lru_cache(maxsize=None)
def _key(kind: str, number: int = 0) -> Any:
    if kind == "EC":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=_BITS[kind])


def _name(common_names: Sequence[str], organization: str = "ocppj") -> x509.Name:
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)]
    return x509.Name(names + [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common_names])


class Authority:
    """Signs certificates. ``path`` is the file of its own."""

    def __init__(self, name: str) -> None:
        self._name = _name([name])
        self._lists = 0
        self._key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(self._name, self._key)
        builder = builder.add_extension(x509.BasicConstraints(True, None), True)
        # Python 3.13 asks for what follows, where a program takes its default context.
        usage = dict.fromkeys(["digital_signature", "key_cert_sign", "crl_sign"], True)
        others = ["content_commitment", "key_encipherment", "data_encipherment", "key_agreement"]
        usage.update(dict.fromkeys([*others, "encipher_only", "decipher_only"], False))
        builder = builder.add_extension(x509.KeyUsage(**usage), True)
        own = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        self._identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
        certificate = builder.add_extension(own, False).sign(self._key, hashes.SHA256())
        self.path = _folder() / f"{name}.pem"
        self.path.write_bytes(certificate.public_bytes(_PEM))

    def _builder(self, subject: x509.Name, key: Any, end: datetime.datetime = _END) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_BEGIN)
            .not_valid_after(end)
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
        expired: bool = False,
    ) -> Tuple[Path, Path]:
        """Return the files of a certificate and of its key."""
        key = _key(kind)
        builder = self._builder(_name(common_names, organization), key, _LONG_AGO if expired else _END)
        others = [x509.DNSName(name) for name in dns] + ([x509.IPAddress(ipaddress.ip_address(ip))] if ip else [])
        if others:
            builder = builder.add_extension(x509.SubjectAlternativeName(others), False)
        certificate = builder.add_extension(self._identifier, False).sign(self._key, hashes.SHA256())
        stem = f"{len(list(_folder().iterdir()))}-{kind}"
        files = _folder() / f"{stem}.crt", _folder() / f"{stem}.key"
        files[0].write_bytes(certificate.public_bytes(_PEM))
        encryption = serialization.BestAvailableEncryption(password.encode()) if password else None
        lock = encryption or serialization.NoEncryption()
        files[1].write_bytes(key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, lock))
        return files

    def revoke(self, *files: Path, expired: bool = False) -> Path:
        """Return the file of a new revocation list, with the certificates in ``files``."""
        self._lists += 1
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        builder = builder.last_update(_BEGIN + datetime.timedelta(days=self._lists))
        builder = builder.next_update(_LONG_AGO if expired else _END)
        for file in files:
            number = x509.load_pem_x509_certificate(file.read_bytes()).serial_number
            one = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(_BEGIN).build()
            builder = builder.add_revoked_certificate(one)
        path = _folder() / f"{len(list(_folder().iterdir()))}.crl"
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(_PEM))
        return path

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
