"""`trace`: spans of OpenTelemetry for the calls and the handlers of a client or a server. It needs the extra ``otel``.

A request that a handler makes is a child of the handler's span. One that another thread makes is a child of the span
that is current there, such as that of a web request.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Callable, Dict, Optional, Protocol

from .errors import ErrorCode, OCPPError, UsageError
from .exchange.watches import Ended, Watch, Watched
from .interrupted import calls_program
from .log_limit import bounded

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

__all__ = ["trace"]

#: The characters of an error in a span.
_LONGEST = 255


class Traced(Protocol):
    """A `Server`, a `Client` or a `RemoteServer`."""

    def add_watch(self, watch: Watch) -> None:
        """Tell ``watch`` of calls and handlers."""

    def remove_watch(self, watch: Watch) -> None:
        """Take away what `add_watch` added."""


def trace(server_or_client: Traced, tracer_provider: Optional["TracerProvider"] = None) -> Callable[[], None]:
    """Make a span for each call and for each handler of a `Server` or a `Client`, from now on.

    A `RemoteServer` will do, too. It has calls alone.

    A span of a call is of the kind CLIENT. It begins where the request is made, and ends with the request: with its
    answer, its failure or its cancellation, for `send_request` and `broadcast` as well. A span of a handler is of the
    kind SERVER. It begins and ends with the handler, which may leave the answer for later. Both are named as their
    action. Their attributes are ``rpc.system`` ("ocpp"), ``rpc.method`` and ``ocpp.action`` (the action),
    ``ocpp.client_id``, ``ocpp.version`` and ``ocpp.message_id``. After a failure the status is an error, and
    ``error.type`` is the code of an `OCPPError` ("other", if no version has such a code), or the name of another
    exception, such as "CallTimeout". The text of the status is at most 255 characters, without passwords and keys.

    Args:
        server_or_client: Whose calls and handlers.
        tracer_provider: Where the spans go; ``None``: to the global provider.

    Returns:
        A function without arguments that ends the tracing.

    Raises:
        UsageError: opentelemetry-api is not installed, or the first argument is neither a server nor a client.
    """
    if isinstance(server_or_client, type) or not callable(getattr(server_or_client, "add_watch", None)):
        raise UsageError(f"tracing is for a Server or a Client, not for {server_or_client!r}")
    tracer = _Tracer(tracer_provider)
    server_or_client.add_watch(tracer)

    def end() -> None:
        server_or_client.remove_watch(tracer)

    return end


class _Tracer:
    """A `Watch` that makes spans. OpenTelemetry is imported here alone."""

    def __init__(self, provider: Optional["TracerProvider"]) -> None:
        try:
            from opentelemetry import context, trace
        except ImportError as error:
            raise UsageError("tracing needs opentelemetry-api: pip install 'ocppj[otel]'") from error
        self._context = context
        self._trace = trace
        self._tracer = trace.get_tracer("ocppj", tracer_provider=provider)

    @calls_program
    def call_began(self, watched: Watched) -> Ended:
        """Begin a span below the current one of this thread. It becomes current nowhere: the call waits elsewhere."""
        attributes = _attributes_of(watched)
        span = self._tracer.start_span(watched.action, kind=self._trace.SpanKind.CLIENT, attributes=attributes)

        return partial(self._finish, span)

    @calls_program
    def handler_began(self, watched: Watched) -> Ended:
        """Begin a span that is the current one of this thread until the handler ends."""
        attributes = _attributes_of(watched)
        span = self._tracer.start_span(watched.action, kind=self._trace.SpanKind.SERVER, attributes=attributes)
        token = self._context.attach(self._trace.set_span_in_context(span))

        @calls_program
        def ended(error: Optional[BaseException]) -> None:
            self._context.detach(token)
            self._finish(span, error)

        return ended

    @calls_program
    def _finish(self, span: "Span", error: Optional[BaseException]) -> None:
        if error is not None:
            span.set_attribute("error.type", _type_of(error))
            text = str(bounded(error))[:_LONGEST]
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, text))
        span.end()


def _type_of(error: BaseException) -> str:
    """Return one of few texts: a peer may invent codes without an end."""
    if not isinstance(error, OCPPError):
        return type(error).__name__
    return str(error.code) if isinstance(error.code, ErrorCode) else "other"


def _attributes_of(watched: Watched) -> Dict[str, str]:
    return {
        "rpc.system": "ocpp",
        "rpc.method": watched.action,
        "ocpp.action": watched.action,
        "ocpp.client_id": watched.client_id,
        "ocpp.version": watched.version,
        "ocpp.message_id": watched.message_id,
    }
