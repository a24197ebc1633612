"""Simulated stations as the command ``ocppj simulate`` runs them: visits, figures, and the search for the knee."""

from ..lazy import TYPE_CHECKING, hooks

if not TYPE_CHECKING:
    __getattr__, __dir__ = hooks(__name__)
