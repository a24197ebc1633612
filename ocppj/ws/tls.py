"""TLS contexts for OCPP's security profiles 2 and 3. Any other `ssl.SSLContext` will do as well.

They differ from Python's own defaults, or from those of some versions, in these points:

* TLS 1.2 at least (1.6 security whitepaper A00.FR.312; Part 2 A00.FR.313), no compression (A00.FR.320, 321).
* The four cipher suites that every central system has to offer (A00.FR.317, A00.FR.318). Two of them agree on keys by
  plain RSA, which Python leaves out; old charge points have nothing else. They come last, after ECDHE-RSA, and the
  server's order counts. TLS 1.3's own suites are all on.
* Keys of 112 bits of security at least in a chain: RSA of 2048, elliptic curves of 224 bits (A00.FR.501 to 503).
* RSA and ECDSA certificates side by side, so that each peer finds one that it can verify (the note at A00.FR.318).
* A charge point takes the server's name from the certificate's commonName when it has no subjectAltName (A00.FR.309).
* The same checks of a chain in all versions of Python: 3.13 would ask for extensions that OCPP does not ask for.
* No session is resumed where client certificates are verified: OpenSSL would not look at the certificate again, and a
  client whose certificate was revoked, or has expired, could come back for ever. In TLS 1.2 only tickets can be
  switched off; a server that meets a session resumed by its number cuts the connection and so forgets the session, and
  the client's next attempt begins anew. A session without a certificate may be resumed.

Python's ssl cannot do OCSP, so no server is asked whether a certificate is revoked. Revocation lists are checked when
they are given (A00.FR.705; 1.6: A00.FR.704).
"""

from __future__ import annotations

import os
import ssl
from typing import Iterable, List, Optional, Sequence, Tuple, Union

from ..errors import UsageError

__all__ = ["CIPHERS", "client_tls_context", "may_resume", "server_tls_context"]

StrPath = Union[str, "os.PathLike[str]"]
#: A PEM file with a certificate chain and its key, or a pair of files: (chain, key).
Certificate = Union[StrPath, Tuple[StrPath, StrPath]]
#: What both sides take: one file, or several certificates.
Certificates = Union[StrPath, Sequence[Certificate]]

#: TLS 1.2's suites, in order. The first two and the last two are OCPP's.
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
)
# Level 2 of OpenSSL is 112 bits. LibreSSL, with which some Pythons 3.9 are built, has no levels.
_LEVEL = "" if "LibreSSL" in ssl.OPENSSL_VERSION else "@SECLEVEL=2:"


def server_tls_context(
    certificates: Certificates,
    *,
    client_ca: Optional[StrPath] = None,
    client_crl: Optional[StrPath] = None,
    require_client_certificate: bool = False,
    password: Union[str, bytes, None] = None,
) -> ssl.SSLContext:
    """Return a context for a central system.

    Args:
        certificates: A PEM file with a chain and its key; or a list of such files and of ``(chain, key)`` pairs. One
            with an RSA and one with an ECDSA key may be given.
        client_ca: A PEM file of the authorities whose client certificates are verified. Clients may present one.
        client_crl: A PEM file with the revocation lists of all authorities of clients. All certificates are refused
            when a list is missing or out of date. A newer file may be loaded at any time (``load_verify_locations``).
        require_client_certificate: Clients must present a certificate (security profile 3).
        password: Of encrypted keys.

    Raises:
        UsageError: A file is missing or of another kind; its name is in the error.
    """
    pairs = _pairs(certificates)
    if client_crl is not None and client_ca is None:
        raise UsageError("client_crl, revocation lists, without client_ca, the authorities whose they are")
    if require_client_certificate and client_ca is None:
        raise UsageError("client certificates can be required only with client_ca, the authorities that issue them")
    context = _hardened(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    for chain, key in pairs:
        _load_certificate(context, chain, key, password)
    if client_ca is not None:
        _load_authorities(context, client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if require_client_certificate else ssl.CERT_OPTIONAL
        context.options |= ssl.OP_NO_TICKET
        if ssl.HAS_TLSv1_3:
            context.num_tickets = 0
    if client_crl is not None:
        _load_revocations(context, client_crl)
    return context


def client_tls_context(
    ca: Optional[StrPath] = None,
    certificate: Optional[Certificates] = None,
    key: Optional[StrPath] = None,
    password: Union[str, bytes, None] = None,
    *,
    check_hostname: bool = True,
) -> ssl.SSLContext:
    """Return a context for a charge point, which verifies the central system's certificate and name.

    Args:
        ca: A PEM file of authorities; without it, the system's are trusted.
        certificate: The charge point's own certificate (security profile 3), in the forms of `server_tls_context`.
        key: The key's file, if ``certificate`` is one file without its key.
        password: Of encrypted keys.
        check_hostname: ``False`` accepts a certificate of another name: for test benches.

    Raises:
        UsageError: A file is missing or of another kind; its name is in the error.
    """
    if certificate is None and (key is not None or password is not None):
        raise UsageError("a key or its password without a certificate")
    pairs = _pairs(certificate) if certificate is not None else []
    if key is not None:
        if not isinstance(certificate, (str, os.PathLike)):
            raise UsageError("a key belongs to one certificate file; in a list, give pairs: (chain, key)")
        pairs = [(certificate, key)]
    context = _hardened(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = check_hostname
    context.hostname_checks_common_name = True
    if ca is None:
        context.load_default_certs()
    else:
        _load_authorities(context, ca)
    for chain, its_key in pairs:
        _load_certificate(context, chain, its_key, password)
    return context


def may_resume(context: ssl.SSLContext) -> bool:
    """Return whether a server's sessions may be resumed: not where certificates must be verified each time."""
    # A context that gives out tickets though it verifies certificates was not made here, and does so on purpose.
    return context.verify_mode == ssl.CERT_NONE or not context.options & ssl.OP_NO_TICKET


def _hardened(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION
    context.options |= getattr(ssl, "OP_NO_RENEGOTIATION", 0)  # Python 3.9 may be built with an OpenSSL without it
    context.set_ciphers(_LEVEL + ":".join(CIPHERS))
    return context


def _pairs(certificates: object) -> List[Tuple[StrPath, Optional[StrPath]]]:
    """Return the files of each certificate: its chain, and its key if that is in another file."""
    if isinstance(certificates, (str, os.PathLike)):
        return [(certificates, None)]
    pairs: List[Tuple[StrPath, Optional[StrPath]]] = []
    for each in certificates if isinstance(certificates, Iterable) else []:
        if isinstance(each, tuple) and len(each) == 2:
            pairs.append(each)
        else:
            pairs.append((each, None))
    if not pairs:
        raise UsageError("a certificate is the path of a PEM file, or a list of paths and of pairs: (chain, key)")
    return pairs


def _load_authorities(context: ssl.SSLContext, path: StrPath, what: str = "authorities") -> None:
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ValueError, TypeError) as error:  # ssl.SSLError is an OSError
        raise UsageError(f"cannot load the {what} in {_shown(path)}: {_reason(error)}") from None


def _load_revocations(context: ssl.SSLContext, path: StrPath) -> None:
    before = context.cert_store_stats()
    _load_authorities(context, path, "revocation lists")
    after = context.cert_store_stats()
    if after["crl"] == before["crl"] or after["x509"] != before["x509"]:  # a certificate there would be trusted
        raise UsageError(f"revocation lists are wanted, and nothing else: {_shown(path)}")
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _load_certificate(
    context: ssl.SSLContext, chain: StrPath, key: Optional[StrPath], password: Union[str, bytes, None]
) -> None:
    files = _shown(chain) if key is None else f"{_shown(chain)} with the key in {_shown(key)}"
    try:
        # Without any password OpenSSL would ask for one on the terminal, and wait.
        context.load_cert_chain(chain, key, password if password is not None else lambda: b"")
    except (OSError, ValueError, TypeError) as error:
        hint = ""
        if isinstance(error, ssl.SSLError) or not isinstance(error, OSError):
            hint = " (a PEM certificate and its private key, and the right password if it is encrypted, are needed)"
        raise UsageError(f"cannot load the certificate {files}: {_reason(error)}{hint}") from None


def _shown(path: object) -> str:
    return str(path) if isinstance(path, (str, os.PathLike)) else f"(a path is wanted, not {type(path).__name__})"


def _reason(error: Exception) -> str:
    """Return what went wrong, and nothing of the file."""
    if isinstance(error, ssl.SSLError):
        return error.reason or error.strerror or "not PEM"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__
