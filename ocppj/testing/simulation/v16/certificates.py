"""InstallCertificate, DeleteCertificate, GetInstalledCertificateIds, SignCertificate and CertificateSigned.

1.6 security whitepaper: A02, A03, M03, M04, M05.
"""

from __future__ import annotations

from functools import partial

from ....v16 import (
    CertificateHashData,
    CertificateSignedRequest,
    CertificateSignedResponse,
    CertificateSignedStatus,
    DeleteCertificateRequest,
    DeleteCertificateResponse,
    DeleteCertificateStatus,
    GetInstalledCertificateIdsRequest,
    GetInstalledCertificateIdsResponse,
    GetInstalledCertificateStatus,
    HashAlgorithm,
    InstallCertificateRequest,
    InstallCertificateResponse,
    InstallCertificateStatus,
    SignCertificateRequest,
)
from ..block import Block
from ..certificates import CertificateHash
from ..core import Core
from .security import Security

__all__ = ["Certificates"]

_OWN = "ChargePointCertificate"


class Certificates(Block):
    """The certificates of the charge point.

    A new certificate of its own is kept. The connection does not use it: that has the certificate of the client's
    options.
    """

    def __init__(self, core: Core, security: Security) -> None:
        super().__init__(core)
        self._security = security
        core.on(InstallCertificateRequest, self.install)
        core.on(DeleteCertificateRequest, self.delete)
        core.on(GetInstalledCertificateIdsRequest, self.list)
        core.on(CertificateSignedRequest, self.signed)

    def install(self, request: InstallCertificateRequest) -> InstallCertificateResponse:
        """Install a root certificate (M05.FR.02, FR.03, FR.04, FR.06)."""
        use, pem = str(request.certificate_type), request.certificate
        status = self.core.certificates.install_root(use, pem, self.core.time.now())
        return InstallCertificateResponse(status=InstallCertificateStatus(status))

    def delete(self, request: DeleteCertificateRequest) -> DeleteCertificateResponse:
        """Delete a certificate, but not the charge point's own (M04.FR.05)."""
        data = request.certificate_hash_data
        algorithm = str(data.hash_algorithm)
        wanted = CertificateHash(algorithm, data.issuer_name_hash, data.issuer_key_hash, data.serial_number)
        store = self.core.certificates
        if store.has(wanted, _OWN):
            return DeleteCertificateResponse(status=DeleteCertificateStatus.FAILED)
        deleted = store.delete(wanted)
        return DeleteCertificateResponse(
            status=DeleteCertificateStatus.ACCEPTED if deleted else DeleteCertificateStatus.NOT_FOUND
        )

    def list(self, request: GetInstalledCertificateIdsRequest) -> GetInstalledCertificateIdsResponse:
        found = self.core.certificates.find(str(request.certificate_type))
        if not found:
            return GetInstalledCertificateIdsResponse(status=GetInstalledCertificateStatus.NOT_FOUND)
        return GetInstalledCertificateIdsResponse(
            status=GetInstalledCertificateStatus.ACCEPTED,
            certificate_hash_data=[_hash_data(each.hash) for each in found],
        )

    def signed(self, request: CertificateSignedRequest) -> CertificateSignedResponse:
        """Take over a certificate for the key of the charge point, or tell that it is not valid (A02.FR.06, FR.07)."""
        store, chain = self.core.certificates, request.certificate_chain
        most = self.core.settings["CertificateSignedMaxChainSize"]
        problem = store.take_own(chain, self.core.time.now(), most, _OWN)
        if problem is None:
            return CertificateSignedResponse(status=CertificateSignedStatus.ACCEPTED)
        self.core.post(partial(self._security.notify, "InvalidChargePointCertificate", problem))
        return CertificateSignedResponse(status=CertificateSignedStatus.REJECTED)

    def ask(self) -> None:
        """Make a new key, and ask for a certificate (A02.FR.02, FR.03, FR.13).

        Raises:
            UsageError: The package that makes keys is not installed.
        """
        csr = self.core.certificates.make_csr(self.core.client.id[:64], self.core.settings["CpoName"])
        self.core.send(SignCertificateRequest(csr=csr), before_boot=True)


def _hash_data(data: CertificateHash) -> CertificateHashData:
    return CertificateHashData(
        hash_algorithm=HashAlgorithm(data.algorithm),
        issuer_name_hash=data.issuer_name,
        issuer_key_hash=data.issuer_key,
        serial_number=data.serial_number,
    )
