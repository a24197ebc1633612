"""TLS contexts for OCPP's security profiles 2 and 3. Any other `ssl.SSLContext` will do as well.

What they have that Python's own defaults lack, or have in some versions only:

* TLS 1.2 at least (1.6 security whitepaper A00.FR.312; Part 2 A00.FR.313), no compression (A00.FR.320, A00.FR.321).
* The four cipher suites that every central system has to offer (A00.FR.317, A00.FR.318). Two of them agree on keys by
  plain RSA, which Python leaves out: old charge points have nothing else. They come last; the server's order counts.
  ECDHE-RSA comes before them, with which a peer that has an RSA certificate has forward secrecy too; the
  documents demand a least set and forbid only what is broken (A00.FR.319, A00.FR.320). TLS 1.3's own are all on.
* Keys that are worth 112 bits at least, in every certificate of a chain: RSA of 2048 bits, elliptic curves of 224
  (A00.FR.501 to 503). Python 3.9 leaves that to the system.
* An RSA and an ECDSA certificate at once, so that each client finds one it can verify (the note at A00.FR.318).
* A charge point takes the server's name from the certificate's commonName when it has no subjectAltName (A00.FR.309).
* The same checks of a certificate chain in all versions of Python: 3.13 refuses by default authorities whose
  certificates lack extensions that OCPP does not ask for.

* No session is resumed where client certificates are verified. OpenSSL would not look at the certificate again; and as
  a session that is resumed is renewed, who was revoked, or has expired, could come back for ever. In TLS 1.3 that can
  be switched off. In TLS 1.2 it can for tickets only: the server cuts a connection that resumes a session by its
  number, and forgets the session with that, so that the client's next attempt begins anew. A session without a
  certificate, of a client that has a password, is let be: there was nothing to verify.

Nobody is asked whether a certificate is revoked: Python's ssl cannot do OCSP. Revocation lists are looked at when they
are given (A00.FR.705; 1.6: A00.FR.704).
"""

from __future__ import annotations

import os
import ssl
from typing import Iterable, List, Optional, Sequence, Tuple, Union

from ..errors import UsageError

__all__ = ["CIPHERS", "client_tls_context", "may_resume", "server_tls_context"]

StrPath = Union[str, "os.PathLike[str]"]
#: A PEM file with a certificate chain and its key, or a pair of files.
Certificate = Union[StrPath, Tuple[StrPath, StrPath]]

#: TLS 1.2's suites, in order. The first two and the last two are OCPP's.
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
)
# Level 2 of OpenSSL is 112 bits. LibreSSL, with which some have built Python 3.9, has no levels.
_LEVEL = "" if "LibreSSL" in ssl.OPENSSL_VERSION else "@SECLEVEL=2:"


def server_tls_context(
    certificates: Union[StrPath, Sequence[Certificate]],
    *,
    client_ca: Optional[StrPath] = None,
    client_crl: Optional[StrPath] = None,
    require_client_certificate: bool = False,
    password: Union[str, bytes, None] = None,
) -> ssl.SSLContext:
    """Return a context for a central system.

    ``certificates`` is a PEM file with a chain and its key, or a list of them; in a list, ``(chain, key)`` is a pair of
    files. One for RSA and one for ECDSA may be given; a second one of the same kind replaces the first. ``password`` is
    that of encrypted keys. ``client_ca`` are the authorities whose client certificates are verified: they may
    be presented, and with ``require_client_certificate`` they must (security profile 3). ``client_crl`` is a PEM file
    with the revocation lists of those who issued them, of each one that issues certificates of clients: who stands
    there is refused. So is everybody else, when a list is missing or out of date. A newer one may be loaded
    into the context at any time (``load_verify_locations``).

    Raises `UsageError` naming the file that is missing or not what it should be.
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
    certificate: Optional[StrPath] = None,
    key: Optional[StrPath] = None,
    password: Union[str, bytes, None] = None,
    *,
    check_hostname: bool = True,
) -> ssl.SSLContext:
    """Return a context for a charge point, which verifies the central system's certificate and name.

    ``ca`` is a PEM file of authorities; without it, the system's are trusted. ``certificate`` is a PEM file with the
    charge point's own chain (security profile 3), ``key`` the file of its key unless that is in the same
    file, ``password`` the key's. ``check_hostname=False`` takes a certificate of another name: for test benches.

    Raises `UsageError` naming the file that is missing or not what it should be.
    """
    if certificate is None and (key is not None or password is not None):
        raise UsageError("a key or its password without a certificate")
    context = _hardened(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = check_hostname
    context.hostname_checks_common_name = True
    if ca is None:
        context.load_default_certs()
    else:
        _load_authorities(context, ca)
    if certificate is not None:
        _load_certificate(context, certificate, key, password)
    return context


def may_resume(context: ssl.SSLContext) -> bool:
    """Return whether a server's sessions may be resumed: not where certificates are to be verified each time.

    A context of another making that gives out tickets does that on purpose.
    """
    return context.verify_mode == ssl.CERT_NONE or not context.options & ssl.OP_NO_TICKET


def _hardened(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION
    context.options |= getattr(ssl, "OP_NO_RENEGOTIATION", 0)  # Python 3.9 may be built with an OpenSSL without it
    context.set_ciphers(_LEVEL + ":".join(CIPHERS))
    return context


def _pairs(certificates: object) -> List[Tuple[StrPath, Optional[StrPath]]]:
    """Return the files of each certificate: its chain, and its key when that is in another file."""
    if isinstance(certificates, (str, os.PathLike)):
        return [(certificates, None)]
    pairs: List[Tuple[StrPath, Optional[StrPath]]] = []
    for each in certificates if isinstance(certificates, Iterable) else []:
        if isinstance(each, tuple) and len(each) == 2:
            pairs.append(each)
        else:
            pairs.append((each, None))
    if not pairs:
        raise UsageError("a TLS server needs a certificate: the path of a PEM file, or a list of them")
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
        # Without a password OpenSSL would ask for one on the terminal, and wait.
        context.load_cert_chain(chain, key, password if password is not None else lambda: b"")
    except (OSError, ValueError, TypeError) as error:
        hint = ""
        if isinstance(error, ssl.SSLError) or not isinstance(error, OSError):
            hint = " (a PEM certificate and its private key, and the right password if it is encrypted, are needed)"
        raise UsageError(f"cannot load the certificate {files}: {_reason(error)}{hint}") from None


def _shown(path: object) -> str:
    return str(path) if isinstance(path, (str, os.PathLike)) else f"(a path is wanted, not {type(path).__name__})"


def _reason(error: Exception) -> str:
    """Return what went wrong, without anything of what was read."""
    if isinstance(error, ssl.SSLError):
        return error.reason or error.strerror or "not PEM"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__
