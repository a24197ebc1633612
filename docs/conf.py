"""Sphinx: `make docs` makes the site of these pages."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, List

from sphinx.addnodes import desc_signature
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.example_pages import example_page, files_of  # noqa: E402
from tools.type_reference import describe  # noqa: E402

project = "ocppj"
author = "The ocppj authors"
copyright = "the ocppj authors"
html_title = "ocppj"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # no lexer for the configuration of HAProxy
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # the attributes of a dataclass are named once
default_role = "code"
copybutton_prompt_text = "$ "
pygments_style = "friendly"
pygments_dark_style = "monokai"

#: A link to a file of the repository that is no page.
_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+([^)#]+)(?:#[^)]*)?\)")


def _change(app: Any, page: str, source: List[str]) -> None:
    """Show the examples. Name other files of the repository in place of links, which lead nowhere on the site."""
    folder = ROOT / page
    if folder.parent.name == "examples":
        for file in (folder / "README.md", *files_of(folder)):
            app.env.note_dependency(str(file))
        source[0] = example_page(folder)
    elif not page.startswith("api/"):
        source[0] = _OUTSIDE.sub(_on_the_site, source[0])


def _on_the_site(match: "re.Match[str]") -> str:
    text, path = match[1].strip("`"), match[2]
    if path == "CHANGELOG.md":
        return f"[{match[1]}](changelog.md)"
    if path.startswith("examples/"):
        return f"[{match[1]}](examples/{path.split('/')[1]}.md)"
    return f"`{path}`" if text in path else f"{match[1]} (`{path}`)"


class OCPPTypes(SphinxDirective):
    """Shows the types of an OCPP version: ``.. ocpp-types:: ocppj.v16 messages``. Each field has a line."""

    required_arguments = 2

    def run(self) -> List[Any]:
        """Return what is shown."""
        self.config.python_maximum_signature_line_length = 1
        try:
            return self.parse_text_to_nodes("\n".join(describe(*self.arguments)))
        finally:
            self.config.python_maximum_signature_line_length = None


def _give_short_names(app: Any, page: Any) -> None:
    """Let ``ocppj.clock.TimerHandle`` be found as ``ocppj.TimerHandle``, too: so the pages of source name it."""
    for node in page.findall(desc_signature):
        for module in ("ocppj", "ocppj.testing"):
            name = f"{module}.{node.get('fullname')}"
            if node.get("module", "").startswith("ocppj.") and name not in node["ids"]:
                node["ids"].append(name)


def setup(app: Any) -> None:
    """Have Sphinx call the functions above, and know the directive."""
    app.connect("source-read", _change)
    app.connect("doctree-read", _give_short_names)
    app.add_directive("ocpp-types", OCPPTypes)
