"""Transports: WebSocket clients and servers behind one seam (`ocppj.ws.base`)."""
