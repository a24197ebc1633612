"""Typed payloads and their JSON values."""

from .model import Payload, Request, TextEnum, format_datetime, parse_datetime, wire

__all__ = ["Payload", "Request", "TextEnum", "format_datetime", "parse_datetime", "wire"]
