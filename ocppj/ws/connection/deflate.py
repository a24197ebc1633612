"""permessage-deflate (RFC 7692): the offer of a client, the choice of a server, and the inflating of messages.

wsproto trusts the parameters of all offers and answers. So it gets one that is well-formed and that zlib supports.

wsproto writes compressed messages correctly, but reads some wrong that peers may send. `_Messages` reads them itself:
control frames between fragments (section 6.1), streams that end with the bit BFINAL (section 7.2.3.4), empty messages
without a byte, and few bytes that inflate to very many.

A connection that keeps its context between messages holds up to 131 kB, nearly all of it zlib's. Without context it
holds nothing, and each message is compressed by itself (section 7.1.1).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Union

from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.frame_protocol import CloseReason, Opcode, ParseFailed, RsvBits

from ...errors import TransportError
from ...option_checks import check_options

__all__ = ["MOST_WITH_CONTEXT", "PIECE", "Deflate", "agree", "choose_deflate", "offer_deflate", "read_answer"]

#: So many connections of a server may keep their context, unless `Deflate.no_context_takeover` says otherwise.
MOST_WITH_CONTEXT = 1000

_FLAGS = ("client_no_context_takeover", "server_no_context_takeover")
_BITS = ("client_max_window_bits", "server_max_window_bits")
PIECE = 256 * 1024  # bytes inflated at once
_TAIL = b"\x00\x00\xff\xff"  # the end of a message, which senders leave out (section 7.2.1)


@dataclass(frozen=True)
class Deflate:
    """How a server or a client compresses: a value of its option ``compression``.

    Args:
        server_max_window_bits: Of what the server compresses: 9 to 15, for a window of 512 bytes to 32 kB. A connection
            that keeps its context holds up to 17 kB with 9 for both, 45 kB with 12, and 131 kB with 15.
        client_max_window_bits: Of what a client compresses; 9 to 15. A client that does not offer to limit its window
            is accepted nevertheless (RFC 7692 section 7.1.2.2).
        no_context_takeover: ``True`` compresses each message by itself, in both directions: a connection holds nothing
            between messages. ``False``: only for peers that ask for it. ``None``: a server does as with ``True`` for a
            client that comes while it has 1,000 connections or more, and as with ``False`` before; a client does as
            with ``False``.

    Raises:
        UsageError: A value that its option does not take.
    """

    server_max_window_bits: int = 15
    client_max_window_bits: int = 15
    no_context_takeover: Optional[bool] = None

    def __post_init__(self) -> None:
        check_options("Deflate", vars(self))


class _Messages(PerMessageDeflate):
    """wsproto's permessage-deflate of one side, with its own way to read. Raises ``ParseFailed``."""

    def __init__(self, max_size: float, client: bool) -> None:
        super().__init__()
        self._max_size = max_size
        self._client = client
        self._inflater: Any = None  # made for the first bytes of a deflate stream
        self._control = False  # the present frame is a control frame
        self._compressed = False  # the present message is compressed
        self._size = 0  # of the present message so far, in bytes
        self._wants_tail = False  # the present message is not complete without the tail

    def frame_inbound_header(
        self, proto: Any, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> Union[CloseReason, RsvBits]:
        """Begin a frame; return the reserved bits that may be set in it, or the reason to close."""
        self._control = opcode.iscontrol()
        if self._control or opcode is Opcode.CONTINUATION:
            return CloseReason.PROTOCOL_ERROR if rsv.rsv1 else RsvBits(False, False, False)
        self._compressed, self._size, self._wants_tail = rsv.rsv1, 0, False
        return RsvBits(True, False, False)

    def frame_inbound_payload_data(self, proto: Any, data: bytes) -> bytes:
        """Return these bytes of the present frame, inflated if need be."""
        return self._inflate(data) if data and self._compressed and not self._control else data

    def frame_inbound_complete(self, proto: Any, fin: bool) -> Optional[bytes]:
        """End the present frame; return the rest of the message if this was its last frame."""
        if self._control or not (fin and self._compressed):
            return None
        self._compressed = False
        rest = self._inflate(_TAIL) if self._wants_tail else None
        if self.server_no_context_takeover if self._client else self.client_no_context_takeover:
            self._inflater = None
        return rest

    def frame_outbound(self, proto: Any, opcode: Opcode, rsv: RsvBits, data: bytes, fin: bool) -> Any:
        """Compress a frame. wsproto would use as much memory for a small window as for a large one."""
        if self._compressor is None and not opcode.iscontrol():
            bits = self.client_max_window_bits if self._client else self.server_max_window_bits
            self._compressor = zlib.compressobj(wbits=-bits, memLevel=min(zlib.DEF_MEM_LEVEL, bits - 7))
        return super().frame_outbound(proto, opcode, rsv, data, fin)

    def _inflate(self, data: bytes) -> bytes:
        parts: List[bytes] = []
        more = True  # the inflater may have more to give though no input is left
        try:
            while data or more:
                if self._inflater is None:
                    bits = self.server_max_window_bits if self._client else self.client_max_window_bits
                    self._inflater = zlib.decompressobj(-bits)
                parts.append(self._inflater.decompress(data, PIECE))
                self._size += len(parts[-1])
                if self._size > self._max_size:
                    what = f"a message has more than {self._max_size} bytes"
                    raise ParseFailed(what, CloseReason.MESSAGE_TOO_BIG)
                data, more = self._inflater.unconsumed_tail, len(parts[-1]) == PIECE
                if self._inflater.eof:
                    data, more, self._inflater = self._inflater.unused_data, False, None
        except zlib.error as error:
            raise ParseFailed(
                f"a message cannot be inflated: {error}", CloseReason.INVALID_FRAME_PAYLOAD_DATA
            ) from None
        self._wants_tail = self._inflater is not None
        return b"".join(parts)


def agree(extension: Optional[str], max_size: float, client: bool = False) -> List[Extension]:
    """Return the extensions of a connection.

    Args:
        extension: What was agreed on: see `choose_deflate` and `read_answer`. ``None``: nothing.
        max_size: The most bytes of a message.
        client: Whether this side is the client.
    """
    if extension is None:
        return []
    deflate = _Messages(max_size, client)
    if client:
        deflate.finalize(extension)
        return [deflate]
    return [deflate] if deflate.accept(extension) is not None else []


def offer_deflate(deflate: Deflate) -> str:
    """Return what a client offers (RFC 7692 section 7.1): the server may limit its window, too."""
    offered = ["permessage-deflate"]
    if deflate.no_context_takeover:
        offered += ["server_no_context_takeover", "client_no_context_takeover"]
    if deflate.server_max_window_bits < 15:
        offered.append(f"server_max_window_bits={deflate.server_max_window_bits}")
    bits = deflate.client_max_window_bits
    offered.append("client_max_window_bits" if bits == 15 else f"client_max_window_bits={bits}")
    return "; ".join(offered)


def read_answer(answers: Sequence[str], deflate: Optional[Deflate]) -> Optional[str]:
    """Return what a server has agreed on, in plain form; ``None``: nothing.

    Args:
        answers: The extensions that its response names.
        deflate: What was offered: see `offer_deflate`. ``None``: nothing was.

    Raises:
        TransportError: It is not what was offered, or zlib cannot compress so (RFC 7692 section 7.1 and 5.1).
    """
    if not answers:
        return None
    name, *parameters = (part.strip() for part in answers[0].split(";"))
    if deflate is None or len(answers) > 1 or name.lower() != "permessage-deflate":
        raise TransportError("the server chose an extension that was not offered")
    known = _parse(parameters, answer=True)
    if known is None or int(known.get("server_max_window_bits") or 0) > deflate.server_max_window_bits:
        raise TransportError(f"the server chose parameters of permessage-deflate that were not offered: {answers[0]}")
    if known.get("client_max_window_bits") == "8":
        raise TransportError("the server demands client_max_window_bits=8 of permessage-deflate: zlib cannot do that")
    if known.get("server_max_window_bits") == "8":  # a larger window reads the same
        del known["server_max_window_bits"]
    bits = min(deflate.client_max_window_bits, int(known.get("client_max_window_bits") or 15))
    return _plain({**known, "client_max_window_bits": str(bits)})


def choose_deflate(offers: Sequence[str], deflate: Deflate = Deflate(), connections: int = 0) -> Optional[str]:
    """Return what to agree on for the first offer of permessage-deflate that can be accepted; ``None`` without one.

    Args:
        offers: The offers of a client.
        deflate: The option ``compression``.
        connections: How many the server has.

    Returns:
        The extension in plain form, as if a client had offered just that.
    """
    for offer in offers:
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name.lower() == "permessage-deflate":
            known = _parse(parameters)
            if known is not None:
                return _plain(_agreed(deflate, known, connections))
    return None


def _plain(parameters: Dict[str, str]) -> str:
    words = [f"{key}={value}" if value else key for key, value in parameters.items()]
    return "; ".join(["permessage-deflate", *words])


def _agreed(deflate: Deflate, offered: Dict[str, str], connections: int) -> Dict[str, str]:
    """Return the parameters to agree on, for an offer that can be accepted."""
    agreed = dict(offered)
    bits = min(deflate.server_max_window_bits, int(offered.get("server_max_window_bits") or 15))
    if bits < 15:
        agreed["server_max_window_bits"] = str(bits)
    bits = min(deflate.client_max_window_bits, int(offered.get("client_max_window_bits") or 15))
    if bits < 15 and "client_max_window_bits" in offered:
        agreed["client_max_window_bits"] = str(bits)
    demands = deflate.no_context_takeover
    if connections >= MOST_WITH_CONTEXT if demands is None else demands:
        agreed.update(dict.fromkeys(_FLAGS, ""))  # a server may demand both (sections 7.1.1.1 and 7.1.1.2)
    return agreed


def _parse(parameters: Sequence[str], answer: bool = False) -> Optional[Dict[str, str]]:
    """Return the parameters by name; ``None`` when they must be declined (RFC 7692 section 7.1)."""
    known: Dict[str, str] = {}
    for parameter in parameters:
        key, equals, value = (part.strip() for part in parameter.partition("="))
        key = key.lower()
        if len(value) >= 2 and value[0] == value[-1] == '"':
            value = value[1:-1]
        if key in known or (key in _FLAGS and equals) or key not in _FLAGS + _BITS:
            return None
        if key in _BITS and not _is_size(key, equals, value, answer):
            return None
        known[key] = value
    if answer:
        return known
    if known.get("server_max_window_bits") == "8":  # zlib cannot write with so small a window
        return None
    if known.get("client_max_window_bits") == "8":  # zlib cannot read with it; a larger window reads the same
        del known["client_max_window_bits"]
    return known


def _is_size(key: str, equals: str, value: str, answer: bool) -> bool:
    if not equals:  # in an offer, the server may choose one (section 7.1.2.2)
        return key == "client_max_window_bits" and not answer
    return value in {str(bits) for bits in range(8, 16)}
