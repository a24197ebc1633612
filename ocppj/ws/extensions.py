"""permessage-deflate as clients offer it (RFC 7692): what of it the WebSocket library can be given.

The library looks at all offers at once and trusts their parameters. So it gets one offer, the first that is well-formed
and that zlib can do. An offer that is not is declined, as section 5.1 has it: the connection goes on without it.
"""

from __future__ import annotations

from typing import Dict, Optional, Sequence

__all__ = ["choose_deflate"]

_FLAGS = ("client_no_context_takeover", "server_no_context_takeover")
_BITS = ("client_max_window_bits", "server_max_window_bits")


def choose_deflate(offers: Sequence[str]) -> Optional[str]:
    """Return the first offer of permessage-deflate that can be accepted, in plain form; ``None``: there is none.

    ``offers`` are the parts of ``Sec-WebSocket-Extensions`` between commas.
    """
    for offer in offers:
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name.lower() == "permessage-deflate":
            known = _parse(parameters)
            if known is not None:
                return "; ".join([name.lower(), *(f"{key}={value}" if value else key for key, value in known.items())])
    return None


def _parse(parameters: Sequence[str]) -> Optional[Dict[str, str]]:
    """Return what the parameters are; ``None`` when the offer must be declined (RFC 7692 section 7.1)."""
    known: Dict[str, str] = {}
    for parameter in parameters:
        key, equals, value = (part.strip() for part in parameter.partition("="))
        key = key.lower()
        if len(value) >= 2 and value[0] == value[-1] == '"':
            value = value[1:-1]
        if key in known or (key in _FLAGS and equals) or key not in _FLAGS + _BITS:
            return None
        if key in _BITS and not _is_size(key, equals, value):
            return None
        known[key] = value
    if known.get("server_max_window_bits") == "8":  # zlib cannot write with so small a window
        return None
    if known.get("client_max_window_bits") == "8":  # nor read; a larger one reads the same
        del known["client_max_window_bits"]
    return known


def _is_size(key: str, equals: str, value: str) -> bool:
    if not equals:
        return key == "client_max_window_bits"  # without a value: the client can be told one (section 7.1.2.2)
    return value in {str(bits) for bits in range(8, 16)}
