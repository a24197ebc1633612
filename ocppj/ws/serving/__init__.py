"""A server that listens: accepting, handshakes and the channels it has."""
