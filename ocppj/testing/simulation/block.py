"""`Block`: a functional block of an OCPP version."""

from __future__ import annotations

from .core import Core

__all__ = ["Block"]


class Block:
    """A functional block of a version.

    Subclasses register their handlers in their constructor, with `Core.on`::

        class Reservations(Block):
            def __init__(self, core: Core) -> None:
                super().__init__(core)
                core.on(ReserveNowRequest, self.reserve_now)

            def reserve_now(self, request: ReserveNowRequest) -> ReserveNowResponse:
                ...

    A handler is a job of the station's mailbox, as all other events of the station are: it runs alone, needs no lock,
    and must not wait. It returns the response, or raises `OCPPError`. What is to follow the response goes to
    ``core.post(f)``: it runs when the response is on the wire.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
