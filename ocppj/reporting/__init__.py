"""Reports of recordings: `Report` reads one, `write_page` makes the page for a browser, `summarize` the short form."""

from ..lazy import TYPE_CHECKING, hooks

if TYPE_CHECKING:
    from .page import write_page
    from .report import Report
    from .summary import summarize
else:
    #: Where the public names are: the same as above.
    _HOMES = {
        ".page": "write_page",
        ".report": "Report",
        ".summary": "summarize",
    }
    __getattr__, __dir__ = hooks(__name__, _HOMES)

__all__ = ["Report", "summarize", "write_page"]
