"""InstallCertificate, DeleteCertificate, GetInstalledCertificateIds, SignCertificate, CertificateSigned.

Part 2, A02, A03 and M03 to M05.
"""

from __future__ import annotations

import itertools
from typing import Any, Dict

from ..certificates import CertificateHash, CertificateStore
from ..core import Core
from ..scheduler import Handle
from .block import Block2
from .device_model import VariableKey
from .lookup import DeviceModel
from .security import Security

__all__ = ["Certificates"]

_STATION = "ChargingStationCertificate"


class Certificates(Block2):
    """The certificates of the station.

    A new certificate of the station is kept, and reported. The connection does not use it: that has the certificate of
    the client's options.
    """

    def __init__(self, core: Core, types: Any, model: DeviceModel, security: Security) -> None:
        super().__init__(core, types)
        self.store: CertificateStore = core.certificates
        self._security = security
        self._ids = itertools.count(1)
        self._waiting: Dict[str, Handle] = {}  # for a CertificateSigned, by the use of the certificate
        model.live[VariableKey("SecurityCtrlr", "CertificateEntries")] = lambda: len(self.store)
        core.on(types.InstallCertificateRequest, self.install)
        core.on(types.DeleteCertificateRequest, self.delete)
        core.on(types.GetInstalledCertificateIdsRequest, self.list)
        core.on(types.CertificateSignedRequest, self.signed)

    def install(self, request: Any) -> Any:
        """Install a root certificate: M05.FR.02, FR.03 (failed), FR.06 (too many), FR.07 (not valid)."""
        status = self.store.install_root(str(request.certificate_type), request.certificate, self.core.time.now())
        return self.types.InstallCertificateResponse(status=status)

    def delete(self, request: Any) -> Any:
        data = request.certificate_hash_data
        wanted = CertificateHash(
            str(data.hash_algorithm), data.issuer_name_hash, data.issuer_key_hash, data.serial_number
        )
        if self.store.has(wanted, _STATION):  # M04.FR.06
            status = "Failed"
        else:
            status = "Accepted" if self.store.delete(wanted) else "NotFound"
        return self.types.DeleteCertificateResponse(status=status)

    def list(self, request: Any) -> Any:
        uses = None if request.certificate_type is None else [str(each) for each in request.certificate_type]
        chains = [
            self.types.CertificateHashDataChain(
                certificate_type=each.use,
                certificate_hash_data=self._hash_data(each.hash),
                child_certificate_hash_data=[self._hash_data(child) for child in each.chain] or None,
            )
            for each in self.store.find(*(uses or ()))
            if each.use != _STATION  # GetCertificateIdUse does not have it
        ]
        return self.types.GetInstalledCertificateIdsResponse(
            status="Accepted" if chains else "NotFound", certificate_hash_data_chain=chains or None
        )

    def signed(self, request: Any) -> Any:
        """Take over a certificate for the key of the station, or tell that it is not valid (A02.FR.06, FR.07)."""
        use = str(request.certificate_type or _STATION)
        most = self.core.settings[VariableKey("SecurityCtrlr", "MaxCertificateChainSize")]  # A02.FR.16
        stored_as = _STATION if use == _STATION else "V2GCertificateChain"
        problem = self.store.take_own(request.certificate_chain, self.core.time.now(), most, stored_as, use)
        self._stop_waiting(use)
        if problem is None:
            return self.types.CertificateSignedResponse(status="Accepted")
        self.core.post(lambda: self._security.notify("InvalidChargingStationCertificate", problem))
        info = self.types.StatusInfo(reason_code="InvalidCertificate", additional_info=problem[:512])
        return self.types.CertificateSignedResponse(status="Rejected", status_info=info)

    # The requests of the station

    def ask(self, use: str = _STATION) -> None:
        """Ask for a certificate, and again when none comes (A02.FR.17 to FR.19).

        Raises:
            UsageError: The package that makes keys is not installed.
        """
        self._stop_waiting(use)
        self._ask(use, 0)

    def _ask(self, use: str, repeats: int) -> None:
        organization = self.core.settings[VariableKey("SecurityCtrlr", "OrganizationName")]
        csr = self.store.make_csr(self.core.client.id[:64], organization, use)
        more = {"request_id": next(self._ids)} if self.is_21 else {}
        request = self.types.SignCertificateRequest(csr=csr, certificate_type=use, **more)
        self.core.send(request, lambda response: self._asked(use, repeats, response), before_boot=True)

    def _asked(self, use: str, repeats: int, response: Any) -> None:
        wait = self.core.settings[VariableKey("SecurityCtrlr", "CertSigningWaitMinimum")]
        most = self.core.settings[VariableKey("SecurityCtrlr", "CertSigningRepeatTimes")]
        if response.status == "Accepted" and wait > 0 and repeats < most:
            again = self.core.timers.call_later(wait * 2**repeats, lambda: self._ask(use, repeats + 1))
            self._waiting[use] = again

    def _stop_waiting(self, use: str) -> None:
        handle = self._waiting.pop(use, None)
        if handle is not None:
            handle.cancel()

    def _hash_data(self, data: CertificateHash) -> Any:
        return self.types.CertificateHashData(
            hash_algorithm=data.algorithm,
            issuer_name_hash=data.issuer_name,
            issuer_key_hash=data.issuer_key,
            serial_number=data.serial_number,
        )
