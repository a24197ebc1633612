"""Sphinx: `make docs` makes the site of these pages."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

project = "ocppj"
author = "The ocppj authors"
copyright = "the ocppj authors"
html_title = "ocppj"
html_theme = "furo"
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
#: Links to files outside this folder, such as examples, stay links to files: the repository has them.
myst_all_links_external = False
suppress_warnings = ["myst.xref_missing_file"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
default_role = "code"
nitpicky = False
html_static_path = ["_static"]
copybutton_prompt_text = "$ "
pygments_style = "friendly"
pygments_dark_style = "monokai"
