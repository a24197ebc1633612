"""What comes of a run, as JSON, as JUnit XML, and as a page for a browser."""

from ...lazy import TYPE_CHECKING, hooks

if not TYPE_CHECKING:
    __getattr__, __dir__ = hooks(__name__)
