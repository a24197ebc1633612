"""How a client is let in: HTTP, URLs, credentials and checks."""
