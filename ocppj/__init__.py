"""OCPP-J for Python programs that use threads: a blocking `Client` for charge points, a blocking `Server`."""

from typing import TYPE_CHECKING, Any

from .access import authorization_key, passwords_match
from .calls import CallFuture
from .client import Client
from .clock import Clock, ManualClock, SystemClock
from .dialect import Dialect, is_error_code_valid
from .dispatcher import ClientDispatcher, ServerDispatcher
from .endpoint import Endpoint
from .errors import (
    CallCanceled,
    CallFailed,
    CallTimeout,
    ConnectionLost,
    DuplicateFeature,
    EncodingError,
    ErrorCode,
    HandshakeRefused,
    InvalidResponse,
    MessageError,
    NotRunning,
    OCPPError,
    OcppjError,
    QueueDamaged,
    QueueFailed,
    QueueFull,
    Stopped,
    SubprotocolError,
    TransportError,
    UnknownClient,
    UnsupportedFeature,
    UsageError,
    ValidationError,
    WouldDeadlock,
    WriteTimeout,
)
from .handlers import Frame
from .lanes import DefaultClientDispatcher, DefaultServerDispatcher
from .messages import (
    Call,
    CallError,
    CallResult,
    CallResultError,
    Message,
    MessageType,
    Send,
    SignatureResult,
    parse_json_message,
    parse_raw_json_message,
)
from .payloads import Payload, Request, TextEnum, wire
from .profile import Feature, Profile
from .queues import FIFOClientQueue, FIFOQueueMap, RequestBundle, RequestQueue, ServerQueueMap
from .retries import TransactionRetries
from .server import Server
from .settings import Validation, set_logger, set_message_id_generator, set_message_validation
from .signing import Signer, Verifier
from .state import PendingRequestState, ServerState
from .ws.backoff import Backoff
from .ws.base import Close
from .ws.handshake import HandshakeRequest
from .ws.readers import SharedReaders
from .ws.tls import client_tls_context, server_tls_context

if TYPE_CHECKING:
    from .durable import SetAside, SQLiteQueue, SQLiteQueueMap

__all__ = [
    "Backoff",
    "Call",
    "CallCanceled",
    "CallError",
    "CallFailed",
    "CallFuture",
    "CallResult",
    "CallResultError",
    "CallTimeout",
    "Client",
    "ClientDispatcher",
    "Clock",
    "Close",
    "ConnectionLost",
    "DefaultClientDispatcher",
    "DefaultServerDispatcher",
    "Dialect",
    "DuplicateFeature",
    "EncodingError",
    "Endpoint",
    "ErrorCode",
    "FIFOClientQueue",
    "FIFOQueueMap",
    "Feature",
    "Frame",
    "HandshakeRefused",
    "HandshakeRequest",
    "InvalidResponse",
    "ManualClock",
    "Message",
    "MessageError",
    "MessageType",
    "NotRunning",
    "OCPPError",
    "OcppjError",
    "Payload",
    "PendingRequestState",
    "Profile",
    "QueueDamaged",
    "QueueFailed",
    "QueueFull",
    "Request",
    "RequestBundle",
    "RequestQueue",
    "SQLiteQueue",
    "SQLiteQueueMap",
    "Send",
    "Server",
    "ServerDispatcher",
    "ServerQueueMap",
    "ServerState",
    "SetAside",
    "SharedReaders",
    "SignatureResult",
    "Signer",
    "Stopped",
    "SubprotocolError",
    "SystemClock",
    "TextEnum",
    "TransactionRetries",
    "TransportError",
    "UnknownClient",
    "UnsupportedFeature",
    "UsageError",
    "Validation",
    "ValidationError",
    "Verifier",
    "WouldDeadlock",
    "WriteTimeout",
    "authorization_key",
    "client_tls_context",
    "is_error_code_valid",
    "parse_json_message",
    "parse_raw_json_message",
    "passwords_match",
    "server_tls_context",
    "set_logger",
    "set_message_id_generator",
    "set_message_validation",
    "wire",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the durable queues when one is asked for: they need sqlite3, which a Python may lack."""
    if name in ("SQLiteQueue", "SQLiteQueueMap", "SetAside"):
        from . import durable

        return getattr(durable, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
