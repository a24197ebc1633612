"""`tools/diagrams.py`: the pictures of the pages are drawn from the texts beside them."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tools.diagrams import draw

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "diagrams"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_a_picture_is_that_of_its_text(path: Path) -> None:
    assert path.with_suffix(".svg").read_text("utf-8") == draw(path.read_text("utf-8")), "run tools/diagrams.py"


def texts(svg: str) -> list:
    return [each.text for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_a_sequence() -> None:
    svg = draw("sequence\ncolumns: a | b\n# a remark\na -> b: CALL <1>\nb --> a: late\na: waits\n")
    assert texts(svg) == ["a", "b", "CALL <1>", "late", "waits"]
    assert svg.count('class="line dotted"') == 1


def test_a_graph() -> None:
    svg = draw("graph\nx at 0,0\ny at 1,1: more\nx -> y: why\n")
    assert texts(svg) == ["why", "x", "y", "more"]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("", "the first line"),
        ("picture\n", "the first line"),
        ("sequence\ncolumns: a\na -> b: c\n", "there is no column 'b'"),
        ("sequence\ncolumns: a\nwhat\n", "not understood: what"),
        ("graph\nx at 0,0\nx -> y\n", "there is no box 'y'"),
        ("graph\nx beside y\n", "not understood"),
    ],
)
def test_what_is_not_understood(source: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        draw(source)
