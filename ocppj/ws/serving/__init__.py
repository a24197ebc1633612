"""A server that listens: accepting, handshakes and the registry of channels."""
