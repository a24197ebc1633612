"""`CertificateStore`: the certificates of one station.

1.6 security whitepaper section 4.4; 2.x Part 2, functional block M. It reads certificates with the package
`cryptography`, which the extra `testing` brings.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

from ...errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate

__all__ = ["CertificateHash", "CertificateStore", "Installed"]


def _x509() -> Any:
    try:
        from cryptography import x509
    except ImportError as error:
        raise UsageError("certificates need the package cryptography: pip install 'ocppj[testing]'") from error
    return x509


def has_cryptography() -> bool:
    """Tell whether the package that reads certificates, and makes keys, is there."""
    try:
        _x509()
    except UsageError:
        return False
    return True


@dataclass(frozen=True)
class CertificateHash:
    """What identifies a certificate: CertificateHashData. All but ``algorithm`` are hexadecimal, in lower case."""

    algorithm: str
    issuer_name: str
    issuer_key: str
    serial_number: str


@dataclass(frozen=True)
class Installed:
    """A certificate that is installed. ``use`` is its use in the words of the version."""

    use: str
    pem: str
    hash: CertificateHash
    chain: Tuple[CertificateHash, ...] = ()


class CertificateStore:
    """The certificates of one station, and its private keys. To be used in jobs of the mailbox.

    Attributes:
        capacity: How many can be installed.
    """

    def __init__(self, capacity: int = 20) -> None:
        self.capacity = capacity
        self._installed: List[Installed] = []
        self._keys: Dict[str, "EllipticCurvePrivateKey"] = {}  # by the use of the certificate that was asked for

    def __len__(self) -> int:
        return len(self._installed)

    def install(self, use: str, pem: str) -> Installed:
        """Install a certificate, or a chain of which it is the first.

        Raises:
            ValueError: It cannot be read.
            OverflowError: There is no room for more.
        """
        chain = read_chain(pem)
        hashes = [hash_of(certificate, issuer) for certificate, issuer in zip(chain, [*chain[1:], chain[-1]])]
        installed = Installed(use, pem, hashes[0], tuple(hashes[1:]))
        same = [each for each in self._installed if (each.use, each.hash) == (use, installed.hash)]
        if not same and len(self._installed) >= self.capacity:
            raise OverflowError("there is no room for another certificate")
        self._installed = [each for each in self._installed if each not in same]
        self._installed.append(installed)
        return installed

    def take_own(self, chain: str, now: datetime, most: int, use: str, request_use: str = "") -> Optional[str]:
        """Install a certificate of the station in place of the one of its use: that is used no more.

        Args:
            chain: The certificate, and those of its issuers.
            now: The time.
            most: How many characters it may have.
            use: The use under which it is installed.
            request_use: That of the signing request.

        Returns:
            Why it is not taken over (A02.FR.06); ``None`` when it is.
        """
        problem = self._find_problem_of_own(chain, now, most, request_use)
        if problem is not None:
            return problem
        before = self.find(use)
        self._installed = [each for each in self._installed if each not in before]
        try:
            self.install(use, chain)
        except OverflowError as error:
            return str(error)
        return None

    def find(self, *uses: str) -> List[Installed]:
        """Return the certificates of those uses; without one, all."""
        return [each for each in self._installed if not uses or each.use in uses]

    def has(self, hash: CertificateHash, *uses: str) -> bool:
        """Tell whether a certificate of those uses is installed."""
        return any(self._is_meant(each, hash) for each in self.find(*uses))

    def delete(self, hash: CertificateHash) -> bool:
        """Delete a certificate. Return whether there was one. Any algorithm will do for the hash."""
        found = [each for each in self._installed if self._is_meant(each, hash)]
        self._installed = [each for each in self._installed if each not in found]
        return bool(found)

    def make_csr(self, common_name: str, organization: str, use: str = "") -> str:
        """Return a signing request, in PEM, for a new key of the station. There is one key for each ``use``."""
        x509 = _x509()
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        key = self._keys[use] = ec.generate_private_key(ec.SECP256R1())
        names = [(NameOID.COMMON_NAME, common_name), (NameOID.ORGANIZATION_NAME, organization)]
        subject = x509.Name([x509.NameAttribute(oid, text) for oid, text in names])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        return str(request.public_bytes(serialization.Encoding.PEM).decode("ascii"))

    def is_for_own_key(self, pem: str, use: str = "") -> bool:
        """Tell whether a certificate was made for the last signing request. Raises `ValueError`: it cannot be read."""
        first, key = read_chain(pem)[0], self._keys.get(use)
        return key is not None and first.public_key() == key.public_key()

    def check(self, pem: str, now: datetime) -> None:
        """Check that all certificates of a chain are valid, and that each was issued by a known one.

        That is a certificate of the chain, one that is installed, or itself.

        Raises:
            ValueError: One cannot be read, is not valid, or its issuer is unknown.
        """
        chain = read_chain(pem)
        known = [*chain, *(each for stored in self._installed for each in read_chain(stored.pem))]
        for certificate in chain:
            begin, end = _validity(certificate)
            if not begin <= now <= end:
                raise ValueError("the certificate is not valid now")
            if not any(_has_issued(issuer, certificate) for issuer in known):
                raise ValueError("the issuer of the certificate is unknown")

    def install_root(self, use: str, pem: str, now: datetime) -> str:
        """Install a root certificate, as the CSMS asks for. Return a status of OCPP.

        That is "Accepted", "Rejected" (it is not valid, or there is no room), or "Failed" (nothing here reads
        certificates). 1.6 security whitepaper and 2.x Part 2: M05.FR.02, FR.03, FR.06.
        """
        try:
            self.check(pem, now)
            self.install(use, pem)
        except (ValueError, OverflowError):
            return "Rejected"
        except UsageError:
            return "Failed"
        return "Accepted"

    def _find_problem_of_own(self, chain: str, now: datetime, most: int, use: str) -> Optional[str]:
        """Return why a certificate of the station is not taken over, or ``None``. ``use``: of the signing request."""
        if len(chain) > most:
            return "the certificate chain is too long"
        try:
            if not self.is_for_own_key(chain, use):
                return "the certificate is not for the key of the station"
            self.check(chain, now)
        except (ValueError, UsageError) as error:
            return str(error)
        return None

    def may_sign_firmware(self, pem: str, now: datetime) -> bool:
        """Tell whether a certificate may sign firmware: it is of the manufacturer, if a root of that is installed."""
        try:
            read_chain(pem)
            if self.find("ManufacturerRootCertificate"):
                self.check(pem, now)
        except ValueError:
            return False
        except UsageError:  # nothing here reads certificates
            return True
        return True

    def _is_meant(self, installed: Installed, hash: CertificateHash) -> bool:
        if installed.hash.algorithm != hash.algorithm:
            chain = read_chain(installed.pem)
            issuer = chain[1] if len(chain) > 1 else chain[0]
            return _same(hash_of(chain[0], issuer, hash.algorithm), hash)
        return _same(installed.hash, hash)


def _validity(certificate: "Certificate") -> Sequence[datetime]:
    if hasattr(certificate, "not_valid_before_utc"):  # cryptography 42 and later
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    ends = certificate.not_valid_before, certificate.not_valid_after
    return [end.replace(tzinfo=timezone.utc) for end in ends]


def _has_issued(issuer: "Certificate", certificate: "Certificate") -> bool:
    if issuer.subject != certificate.issuer:
        return False
    if not hasattr(certificate, "verify_directly_issued_by"):  # before cryptography 40: the names must do
        return True
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _same(one: CertificateHash, other: CertificateHash) -> bool:
    def plain(hash: CertificateHash) -> Tuple[str, ...]:
        serial = hash.serial_number.lower().lstrip("0")
        return hash.algorithm, hash.issuer_name.lower(), hash.issuer_key.lower(), serial

    return plain(one) == plain(other)


def read_chain(pem: str) -> List["Certificate"]:
    """Return the certificates of a text in PEM. Raises `ValueError`: there is none, or one cannot be read."""
    chain: List["Certificate"] = _x509().load_pem_x509_certificates(pem.encode())
    return chain


def hash_of(certificate: "Certificate", issuer: "Certificate", algorithm: str = "SHA256") -> CertificateHash:
    """Return what identifies a certificate (CertificateHashDataType, as in RFC 6960 section 4.1.1).

    ``issuer`` is the certificate of its issuer; for one that is the last of a chain, itself.
    """
    _x509()
    from cryptography.hazmat.primitives import serialization

    def digest(data: bytes) -> str:
        return hashlib.new(algorithm.lower(), data).hexdigest()

    key = issuer.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    serial = format(certificate.serial_number, "x")
    return CertificateHash(algorithm, digest(certificate.issuer.public_bytes()), digest(_key_bits(key)), serial)


def _key_bits(info: bytes) -> bytes:
    """Return the value of the BIT STRING in a SubjectPublicKeyInfo, without tag, length and number of unused bits."""
    offset = _content(info, 0)[0]  # of the outer SEQUENCE
    offset = _content(info, offset)[1]  # past the algorithm
    start, end = _content(info, offset)
    return info[start + 1 : end]


def _content(data: bytes, offset: int) -> Tuple[int, int]:
    """Return where the contents of the DER value at ``offset`` begin and end."""
    length, start = data[offset + 1], offset + 2
    if length & 0x80:
        count = length & 0x7F
        length, start = int.from_bytes(data[start : start + count], "big"), start + count
    return start, start + length
