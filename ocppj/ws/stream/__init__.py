"""Bytes in and out of one socket."""
