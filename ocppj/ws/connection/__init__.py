"""One WebSocket connection: its frames, its channel and its pings."""
