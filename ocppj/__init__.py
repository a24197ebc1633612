"""OCPP-J for Python programs that use threads: a blocking `Client` for charge points, a blocking `Server`."""

from typing import TYPE_CHECKING, Any

from .client import Client
from .clock import Clock, ManualClock, SystemClock
from .dispatch.dispatchers import DefaultClientDispatcher, DefaultServerDispatcher
from .dispatch.futures import CallFuture
from .dispatch.interfaces import ClientDispatcher, ServerDispatcher
from .dispatch.pending import PendingRequestState, ServerState
from .dispatch.queues import FIFOClientQueue, FIFOQueueMap, RequestBundle, RequestQueue, ServerQueueMap
from .dispatch.retries import TransactionRetries
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
from .exchange.handlers import Frame
from .exchange.passwords import authorization_key, passwords_match
from .payloads.model import Payload, Request, TextEnum, wire
from .rpc.dialect import Dialect, is_error_code_valid
from .rpc.endpoint import Endpoint
from .rpc.features import Feature, Profile
from .rpc.messages import (
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
from .rpc.signing import Signer, Verifier
from .server import Server
from .settings import Validation, set_logger, set_message_id_generator, set_message_validation
from .ws.backoff import Backoff
from .ws.base import Close
from .ws.handshake.policy import HandshakeRequest
from .ws.readers.shared import SharedReaders
from .ws.tls import client_tls_context, server_tls_context

if TYPE_CHECKING:
    from .storage.sqlite_queues import SetAside, SQLiteQueue, SQLiteQueueMap

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
        from .storage import sqlite_queues as durable

        return getattr(durable, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
