"""Makes the pages of the site that show the examples: the README of a folder, and its programs below."""

from __future__ import annotations

import re
from pathlib import Path
from typing import List

#: How the files of an example are shown, by the ends of their names.
LANGUAGES = {".py": "python", ".html": "html", ".ini": "ini"}
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(#[^)]*)?\)")


def files_of(folder: Path) -> List[Path]:
    """Return what is shown beside the README: the files of the folder with something in them."""
    found = [path for path in folder.rglob("*") if path.suffix in (*LANGUAGES, ".json") and path.stat().st_size]
    return sorted(found, key=lambda path: (len(path.relative_to(folder).parts), path))


def example_page(folder: Path) -> str:
    """Return the Markdown of the page ``docs/examples/NAME.md`` for the folder ``examples/NAME``."""
    readme = LINK.sub(_on_the_site, (folder / "README.md").read_text("utf-8"))
    return "\n\n".join([readme.rstrip(), *(_shown(folder, path) for path in files_of(folder))]) + "\n"


def _on_the_site(link: "re.Match[str]") -> str:
    """Return the end of a link of a README as it has to be on the page."""
    path, anchor = link[1], link[2] or ""
    if path.startswith("../../docs/"):
        return f"](../{path[len('../../docs/') :]}{anchor})"
    if path.startswith("../"):
        return f"]({path[len('../') :]}.md)"
    return f"](#{re.sub(r'[^a-z0-9_-]', '', path.lower())})"


def _shown(folder: Path, path: Path) -> str:
    name = path.relative_to(folder).as_posix()
    if path.suffix not in LANGUAGES:
        return f"## `{name}`\n\n{{download}}`{path.name} <../../examples/{folder.name}/{name}>`"
    return f"## `{name}`\n\n~~~~{LANGUAGES[path.suffix]}\n{path.read_text('utf-8').rstrip()}\n~~~~"
