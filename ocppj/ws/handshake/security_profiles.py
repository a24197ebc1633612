"""Security profiles: check that the options of a server or client make its profile. Pure.

Profile 0 is OCPP without security; 1 has Basic authentication; 2 has TLS too; 3 has TLS with a client certificate (1.6
security whitepaper section 2; Part 2 chapter A, A00). A server behind a proxy that ends TLS has no ``security_profile``
here. Whether a client's context has a certificate cannot be read from it. No error repeats the user of ``basic_auth``:
it may be the password, if the caller has mixed them up.
"""

from __future__ import annotations

import ipaddress
import ssl
from typing import Optional
from urllib.parse import urlsplit

from ...errors import UsageError

__all__ = ["check_client_profile", "check_context", "check_server_profile", "check_user", "exposed"]


def check_context(context: Optional[ssl.SSLContext], wrong_protocol: int) -> None:
    """Raise `UsageError` if ``context`` is a TLS context for the other side."""
    if context is not None and context.protocol == wrong_protocol:
        other, this = ("server", "client") if wrong_protocol == ssl.PROTOCOL_TLS_SERVER else ("client", "server")
        raise UsageError(f"the ssl_context of a {this} was made for a {other}")


def exposed(
    profile: Optional[int], url: str, context: Optional[ssl.SSLContext], has_credentials: bool
) -> Optional[str]:
    """Return a warning for a client that connects without TLS, and has no ``security_profile`` that says so."""
    parts = urlsplit(url)
    if profile is not None or parts.scheme != "ws" or _is_loopback(parts.hostname or ""):
        return None
    if has_credentials:  # A00.FR.206
        return "credentials are sent in the clear, for the URL is ws://; security_profile=1 says that this is meant"
    return "the ssl_context is not used, for the URL is ws://" if context is not None else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_server_profile(
    profile: Optional[int], context: Optional[ssl.SSLContext], checks_credentials: bool, one_of_several: bool = False
) -> None:
    """Raise `UsageError` that names what is missing for a server's ``profile``, or does not belong to it.

    ``one_of_several``: clients with other profiles use the same port. They may need passwords, or no certificate.
    """
    if profile is None:
        return
    _check_tls(profile, context is not None, "an ssl_context")
    if profile == 0 and not one_of_several and checks_credentials:
        _wrong(profile, "has no Basic authentication, but a handler for it is set")
    if profile in (1, 2) and not checks_credentials:
        _wrong(profile, "needs a handler: set_basic_auth_handler()")
    if profile == 3 and one_of_several and context is not None and context.verify_mode == ssl.CERT_NONE:
        _wrong(profile, "needs an ssl_context that verifies client certificates (verify_mode CERT_OPTIONAL)")
    if profile == 3 and not one_of_several and context is not None and context.verify_mode != ssl.CERT_REQUIRED:
        _wrong(profile, "needs an ssl_context that requires client certificates (verify_mode CERT_REQUIRED)")


def check_client_profile(
    profile: Optional[int], url: str, client_id: str, context: Optional[ssl.SSLContext], user: Optional[str]
) -> None:
    """Raise `UsageError` that names what is missing for a client's ``profile``, or does not belong to it."""
    if profile is None:
        return
    _check_tls(profile, urlsplit(url).scheme == "wss", "a wss:// URL")
    if profile == 0 and user is not None:
        _wrong(profile, "has no Basic authentication, but basic_auth is given")
    if profile in (1, 2) and user is None:
        _wrong(profile, "needs basic_auth=(identity, password)")
    if profile in (1, 2) and user != client_id:  # A00.FR.204, A00.FR.303
        _wrong(profile, f"needs the identity {client_id!r} as the user of basic_auth")
    if profile == 3 and context is None:
        _wrong(profile, "needs an ssl_context with a client certificate")
    if profile >= 2 and context is not None and not (context.verify_mode and context.check_hostname):  # A00.FR.307 ff.
        _wrong(profile, "needs an ssl_context that checks the server's certificate and its name")


def check_user(user: Optional[str], client_id: str) -> None:
    """Raise `UsageError` for a user name with ":" that is not the identity, which the server knows (RFC 7617)."""
    if user is not None and ":" in user and user != client_id:
        raise UsageError("the user of basic_auth has a ':', and is not the identity")


def _check_tls(profile: int, tls: bool, what: str) -> None:
    if profile >= 2 and not tls:
        _wrong(profile, f"is over TLS: it needs {what}")
    if profile < 2 and tls:
        _wrong(profile, f"is without TLS, but there is {what}")


def _wrong(profile: int, story: str) -> None:
    raise UsageError(f"security profile {profile} {story}")
