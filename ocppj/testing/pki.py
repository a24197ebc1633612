"""Certificates for tests of security profiles 2 and 3, made by the library ``trustme``. Only this module imports it."""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
import threading
import weakref
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Dict, Optional, Sequence, Tuple, Type, Union

from ..errors import UsageError
from ..ws.tls import client_tls_context, server_tls_context

__all__ = ["TestPKI"]

#: RFC 5280 appendix A.1, ub-common-name.
_MAX_COMMON_NAME = 64
#: What stands in the subjectAltName of a station: RFC 5280 wants one name at least, and an identity may be no DNS name.
_ALTERNATIVE_NAME = "station.invalid"
#: When an expired certificate ended, in UTC. ``trustme`` takes a time without a zone.
_LONG_AGO = datetime(2021, 1, 1)  # noqa: DTZ001


class TestPKI:
    """A certificate authority, the certificate of a server, and those of charging stations, as PEM files.

    It is a context manager. Without ``folder`` the files are in a temporary folder, which is removed by `close`, or
    when the process ends. Certificates of another authority are those of another `TestPKI`. Any thread may call it.

    Args:
        folder: Where the files are written. ``None``: a new temporary folder.
        hosts: The names and addresses of the server.
        key_type: "ECDSA" (P-256) or "RSA" (2048 bits), for all certificates.
        organization: The organizationName in all certificates: that of the operator.

    Attributes:
        ca: The certificate of the authority.
        server: The certificate of the server with its key.

    Raises:
        UsageError: ``trustme`` is not installed, or ``key_type`` is neither of the two.
    """

    __test__ = False  # pytest takes a class for tests if its name begins with "Test"

    def __init__(
        self,
        folder: Union[str, "os.PathLike[str]", None] = None,
        *,
        hosts: Sequence[str] = ("localhost", "127.0.0.1", "::1"),
        key_type: str = "ECDSA",
        organization: str = "ocppj",
    ) -> None:
        trustme = _import_trustme()
        if key_type not in ("ECDSA", "RSA"):
            raise UsageError(f'key_type is "ECDSA" or "RSA", not {key_type!r}')
        if folder is not None and not os.fspath(folder):
            raise UsageError("folder is the name of a folder, not an empty text")
        self._key_type = trustme.KeyType[key_type]
        self._organization = organization
        self._authority = trustme.CA(organization_name=organization, key_type=self._key_type)
        self._folder = Path(tempfile.mkdtemp(prefix="ocppj-pki-") if folder is None else folder)
        # At the latest when the process ends. A folder of the caller stays.
        self._remove: Optional[Callable[[], object]] = None
        if folder is None:
            self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._lock = threading.Lock()
        self._stations: Dict[Tuple[str, bool], Path] = {}
        self.ca: Path = self._folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.ca)
        self.server: Path = self._issue("server", *hosts, common_name=hosts[0])

    def __enter__(self) -> "TestPKI":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary folder."""
        if self._remove is not None:
            self._remove()

    def station(self, identity: str, *, expired: bool = False) -> Path:
        """Return the file of a station's certificate with its key. It is made at the first call.

        The identity is the commonName of the subject, the ``organization`` its organizationName (1.6 security
        whitepaper, and 2.x Part 2: A00.FR.404 and 405).

        Args:
            identity: That of the station, at most 64 characters.
            expired: Whether it expired at the end of 2020.

        Raises:
            UsageError: The identity is too long, or empty.
        """
        if not 1 <= len(identity) <= _MAX_COMMON_NAME:
            raise UsageError(f"a commonName has 1 to {_MAX_COMMON_NAME} characters, not {len(identity)}")
        with self._lock:
            key = (identity, expired)
            if key not in self._stations:
                name = f"station-{len(self._stations) + 1}"
                end = _LONG_AGO if expired else None
                self._stations[key] = self._issue(name, _ALTERNATIVE_NAME, common_name=identity, not_after=end)
            return self._stations[key]

    def server_context(self, *, require_client_certificate: bool = False) -> ssl.SSLContext:
        """Return a context for a central system.

        Args:
            require_client_certificate: Stations must have a certificate of this authority (security profile 3).
        """
        return server_tls_context(
            self.server,
            client_ca=self.ca if require_client_certificate else None,
            require_client_certificate=require_client_certificate,
        )

    def client_context(self, identity: Optional[str] = None) -> ssl.SSLContext:
        """Return a context for a charging station, which trusts this authority.

        Args:
            identity: That in the certificate of the station (security profile 3). ``None``: it has no certificate
                (security profile 2).
        """
        return client_tls_context(self.ca, None if identity is None else self.station(identity))

    def _issue(self, name: str, *names: str, **subject: Any) -> Path:
        certificate = self._authority.issue_cert(
            *names, organization_name=self._organization, key_type=self._key_type, **subject
        )
        path = self._folder / f"{name}.pem"
        _write_private(path, certificate.private_key_and_cert_chain_pem.bytes())
        return path


def _write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, from the first moment on. A file that is there is replaced."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def _import_trustme() -> Any:
    try:
        import trustme
    except ImportError as error:
        raise UsageError("certificates for tests need the package trustme: pip install 'ocppj[testing]'") from error
    return trustme
