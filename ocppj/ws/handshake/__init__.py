"""The opening handshake: HTTP, URLs, credentials, and which clients a server accepts."""
