"""What a client has to present, a certificate or a password, and whether it is right. Pure.

These rules hold, whatever handlers are set:

* What a client presents must be right. A certificate of another identity refuses it, although its password is right. A
  wrong password refuses it, although its certificate is right.
* Profile 1 or 2 needs a password, profile 3 a verified certificate, profile 0 nothing.
* Without a profile, a client needs a password when passwords are set up. A verified certificate that is right stands in
  for it where TLS lets clients choose (``verify_mode`` is ``CERT_OPTIONAL``): so one port serves profiles 2 and 3.
* Where TLS requires a certificate of all clients and passwords are set up, both are needed. Only a function that gives
  a client profile 3 excuses it.
* Nothing but a certificate that TLS has verified stands in for a password, whatever a handler says.
"""

from __future__ import annotations

import inspect
from typing import Any, Callable, Optional, Union

from ...interrupted import calls_program
from .credentials import Fault
from .http import BadRequest
from .refusal import BASIC_CHALLENGE, Refusal
from .request import HandshakeRequest

__all__ = ["CertificateCheck", "CredentialsCheck", "answer", "check_proofs"]

CertificateCheck = Callable[[HandshakeRequest], Union[bool, Refusal]]
CredentialsCheck = Callable[[str, bytes], Union[bool, Refusal]]

# No scheme is registered for certificates.
_CERTIFICATE = (("WWW-Authenticate", 'Certificate realm="ocppj"'),)


def check_proofs(
    request: HandshakeRequest,
    fault: Optional[Fault],
    profile: Optional[int],
    check_certificate: Optional[CertificateCheck],
    check_credentials: Optional[CredentialsCheck],
    stands_in: bool = False,
) -> None:
    """Raise `BadRequest` (401), or the `Refusal` of a check, unless ``request`` presents what ``profile`` demands.

    Args:
        request: That of the client.
        fault: Why it has no password: see `credentials.basic_password`.
        profile: 0 to 3, or ``None`` for what the handlers demand.
        check_certificate: Replaces the check that the certificate names the identity.
        check_credentials: Tells whether a password is right; ``None`` when no passwords are set up.
        stands_in: Whether a right certificate is enough, in a profile other than 1 and 2.
    """
    passwords = check_credentials is not None
    unverified = request.peer_certificate is not None and not request.peer_certificate
    certificate_needed = profile == 3 or (profile is None and passwords and stands_in and unverified)
    fault_of_certificate = _fault_of_certificate(request, certificate_needed, check_certificate)
    if fault_of_certificate is not None:
        raise BadRequest(401, f"{fault_of_certificate} of {request.identity!r}", _CERTIFICATE, kind="certificate")
    if profile == 0 or (profile not in (1, 2) and not passwords):
        return
    password_needed = profile in (1, 2) or not (stands_in and request.peer_certificate)
    if fault is Fault.NONE_GIVEN and not password_needed:
        return
    if not _password_is_right(request, check_credentials):
        story = "wrong credentials of" if fault is None else fault.value
        raise BadRequest(401, f"{story} {request.identity!r}", [BASIC_CHALLENGE])


@calls_program
def _fault_of_certificate(request: HandshakeRequest, needed: bool, check: Optional[CertificateCheck]) -> Optional[str]:
    """Return what is wrong with the certificate, or that it is missing; ``None`` when it is right or not needed."""
    if request.peer_certificate:
        right = answer(check(request)) if check is not None else request.certificate_matches
        return None if right else "the certificate is not one"
    if needed or (check is not None and not answer(check(request))):
        return "no verified certificate"
    return None


@calls_program
def _password_is_right(request: HandshakeRequest, check: Optional[CredentialsCheck]) -> bool:
    return check is not None and request.password is not None and answer(check(request.identity, request.password))


def answer(said: Any) -> bool:
    """Return the answer of a check handler.

    Raises:
        Refusal: It is one.
        TypeError: It is another true value than ``True``.
    """
    if isinstance(said, Refusal):
        raise said
    if said is True or not said:
        return said is True
    if inspect.iscoroutine(said):
        said.close()  # else Python warns that it was never awaited
    raise TypeError(f"a check handler returned {type(said).__name__}, not True or False, nor a Refusal")
