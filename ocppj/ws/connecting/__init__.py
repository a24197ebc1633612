"""How a client connects: addresses, names, sessions."""
