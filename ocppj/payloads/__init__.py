"""Typed payloads and their JSON values."""

from ..lazy import TYPE_CHECKING, hooks
from .model import Payload, Request, TextEnum, format_datetime, parse_datetime, wire

__all__ = ["Payload", "Request", "TextEnum", "format_datetime", "parse_datetime", "wire"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = hooks(__name__)
