"""The cases for central systems. We are the charging station."""

#: The modules with cases, in the order in which they are run.
MODULES = (
    "handshake",
    "websocket",
    "rpc",
    "payloads",
    "sessions",
    "sessions16",
    "sessions2",
    "messages",
    "chaos",
    "whole",
)
