"""Signed messages of OCPP 2.x. They live in `ocppj.rpc`; this is their public name."""

from .rpc.signing import (
    ALGORITHMS,
    SignatureResult,
    Signer,
    Verifier,
    check_header,
    looks_signed,
    result_of,
    sign_payload,
    unwrap,
)

__all__ = [
    "ALGORITHMS",
    "SignatureResult",
    "Signer",
    "Verifier",
    "check_header",
    "looks_signed",
    "result_of",
    "sign_payload",
    "unwrap",
]
