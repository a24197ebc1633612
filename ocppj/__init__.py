"""OCPP-J for Python programs that use threads: a blocking `Client` for charge points, a blocking `Server`.

A public name is imported when it is first used, and so is a module such as `ocppj.errors`. So ``import ocppj`` costs
next to nothing.
"""

from .lazy import TYPE_CHECKING, hooks

if TYPE_CHECKING:
    from .client import Client
    from .clock import Clock, ManualClock, SystemClock
    from .cluster.base import Cluster, ClusterEvent
    from .cluster.memory import MemoryCluster, MemoryHub
    from .cluster.redis.cluster import RedisCluster
    from .cluster.redis.queue_map import RedisQueueMap
    from .cluster.remote_server import RemoteServer
    from .dispatch.dispatchers import DefaultClientDispatcher, DefaultServerDispatcher
    from .dispatch.futures import CallFuture
    from .dispatch.interfaces import ClientDispatcher, ServerDispatcher
    from .dispatch.overflow import DropOldest, ThinOut
    from .dispatch.pending import PendingRequestState, ServerState
    from .dispatch.queues import (
        FIFOClientQueue,
        FIFOQueueMap,
        OverflowPolicy,
        RequestBundle,
        RequestQueue,
        ServerQueueMap,
    )
    from .dispatch.retries import TransactionRetries
    from .errors import (
        AddressInUse,
        CallCanceled,
        CallFailed,
        CallTimeout,
        ClusterUnavailable,
        ConnectionLost,
        DuplicateFeature,
        EncodingError,
        ErrorCode,
        HandshakeRefused,
        InvalidResponse,
        MessageError,
        MessageTooLarge,
        NoHandlerSlot,
        NotConnected,
        NotRunning,
        OCPPError,
        OcppjError,
        QueueDamaged,
        QueueFailed,
        QueueFull,
        QueueInUse,
        RequestDropped,
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
    from .exchange.busy import BusyHandler
    from .exchange.connection_info import ConnectionInfo
    from .exchange.frame import ConnectionChange
    from .exchange.handlers import NO_ANSWER, Frame
    from .exchange.passwords import authorization_key, passwords_match
    from .exchange.watches import Watch, Watched
    from .payloads.model import Payload, Request, TextEnum, wire
    from .recording.recorder import Recorder
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
    from .secrets import mask_secrets
    from .server import Server
    from .settings import Validation, set_logger, set_message_id_generator, set_message_validation
    from .storage.queue_file import QueuedRequest, QueueFile
    from .storage.sqlite_queues import SetAside, SQLiteQueue, SQLiteQueueMap
    from .storage.stored_queues import StoredRequest
    from .ws.backoff import Backoff
    from .ws.base import Close
    from .ws.connection.deflate import Deflate
    from .ws.handshake.policy import HandshakeRequest
    from .ws.handshake.refusal import Refusal
    from .ws.readers.shared import SharedReaders
    from .ws.serving.addresses import ListenAddress
    from .ws.serving.systemd import systemd_sockets
    from .ws.tls import client_tls_context, server_tls_context
else:
    #: Where the public names are: the same as above.
    _HOMES = {
        ".client": "Client",
        ".cluster.base": "Cluster ClusterEvent",
        ".cluster.memory": "MemoryCluster MemoryHub",
        ".cluster.redis.cluster": "RedisCluster",
        ".cluster.remote_server": "RemoteServer",
        ".cluster.redis.queue_map": "RedisQueueMap",
        ".clock": "Clock ManualClock SystemClock",
        ".dispatch.dispatchers": "DefaultClientDispatcher DefaultServerDispatcher",
        ".dispatch.futures": "CallFuture",
        ".dispatch.interfaces": "ClientDispatcher ServerDispatcher",
        ".dispatch.overflow": "DropOldest ThinOut",
        ".dispatch.pending": "PendingRequestState ServerState",
        ".dispatch.queues": "FIFOClientQueue FIFOQueueMap OverflowPolicy RequestBundle RequestQueue ServerQueueMap",
        ".dispatch.retries": "TransactionRetries",
        ".errors": (
            "AddressInUse CallCanceled CallFailed CallTimeout ClusterUnavailable ConnectionLost DuplicateFeature "
            "EncodingError ErrorCode HandshakeRefused InvalidResponse MessageError MessageTooLarge NoHandlerSlot "
            "NotConnected NotRunning "
            "OCPPError OcppjError QueueDamaged QueueFailed QueueFull QueueInUse RequestDropped Stopped "
            "SubprotocolError TransportError UnknownClient UnsupportedFeature UsageError ValidationError WouldDeadlock "
            "WriteTimeout"
        ),
        ".exchange.busy": "BusyHandler",
        ".exchange.connection_info": "ConnectionInfo",
        ".exchange.frame": "ConnectionChange",
        ".exchange.handlers": "Frame NO_ANSWER",
        ".exchange.passwords": "authorization_key passwords_match",
        ".exchange.watches": "Watch Watched",
        ".payloads.model": "Payload Request TextEnum wire",
        ".recording.recorder": "Recorder",
        ".rpc.dialect": "Dialect is_error_code_valid",
        ".rpc.endpoint": "Endpoint",
        ".rpc.features": "Feature Profile",
        ".rpc.messages": (
            "Call CallError CallResult CallResultError Message MessageType Send SignatureResult "
            "parse_json_message parse_raw_json_message"
        ),
        ".rpc.signing": "Signer Verifier",
        ".secrets": "mask_secrets",
        ".server": "Server",
        ".settings": "Validation set_logger set_message_id_generator set_message_validation",
        ".storage.queue_file": "QueueFile QueuedRequest",
        ".storage.sqlite_queues": "SQLiteQueue SQLiteQueueMap SetAside",
        ".storage.stored_queues": "StoredRequest",
        ".ws.backoff": "Backoff",
        ".ws.base": "Close",
        ".ws.connection.deflate": "Deflate",
        ".ws.handshake.policy": "HandshakeRequest",
        ".ws.handshake.refusal": "Refusal",
        ".ws.readers.shared": "SharedReaders",
        ".ws.serving.addresses": "ListenAddress",
        ".ws.serving.systemd": "systemd_sockets",
        ".ws.tls": "client_tls_context server_tls_context",
    }
    __getattr__, __dir__ = hooks(__name__, _HOMES)

__all__ = [
    "NO_ANSWER",
    "AddressInUse",
    "Backoff",
    "BusyHandler",
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
    "Cluster",
    "ClusterEvent",
    "ClusterUnavailable",
    "ConnectionChange",
    "ConnectionInfo",
    "ConnectionLost",
    "DefaultClientDispatcher",
    "DefaultServerDispatcher",
    "Deflate",
    "Dialect",
    "DropOldest",
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
    "ListenAddress",
    "ManualClock",
    "MemoryCluster",
    "MemoryHub",
    "Message",
    "MessageError",
    "MessageTooLarge",
    "MessageType",
    "NoHandlerSlot",
    "NotConnected",
    "NotRunning",
    "OCPPError",
    "OcppjError",
    "OverflowPolicy",
    "Payload",
    "PendingRequestState",
    "Profile",
    "QueueDamaged",
    "QueueFailed",
    "QueueFile",
    "QueueFull",
    "QueueInUse",
    "QueuedRequest",
    "Recorder",
    "RedisCluster",
    "RedisQueueMap",
    "Refusal",
    "RemoteServer",
    "Request",
    "RequestBundle",
    "RequestDropped",
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
    "StoredRequest",
    "SubprotocolError",
    "SystemClock",
    "TextEnum",
    "ThinOut",
    "TransactionRetries",
    "TransportError",
    "UnknownClient",
    "UnsupportedFeature",
    "UsageError",
    "Validation",
    "ValidationError",
    "Verifier",
    "Watch",
    "Watched",
    "WouldDeadlock",
    "WriteTimeout",
    "authorization_key",
    "client_tls_context",
    "is_error_code_valid",
    "mask_secrets",
    "parse_json_message",
    "parse_raw_json_message",
    "passwords_match",
    "server_tls_context",
    "set_logger",
    "set_message_id_generator",
    "set_message_validation",
    "systemd_sockets",
    "wire",
]

__version__ = "0.1.0"
