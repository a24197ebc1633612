"""The lines of the standard input, when no person types them."""

import io
import os
import sys

import pytest

from ocppj.cli.lines import lines_of


@pytest.mark.skipif(sys.platform == "win32", reason="pipes cannot be waited for")
def test_each_line_is_there_as_soon_as_it_was_written():
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as stream, open(writing, "wb", buffering=0) as end:
        lines = lines_of(stream)
        end.write("one\nz\u00fc".encode()[:-1])
        assert next(lines) == "one"
        end.write("\u00fc".encode()[-1:] + b"rich\n\n")
        assert [next(lines), next(lines)] == ["z\u00fcrich", ""]
        end.write(b"bad \xff\nlast")
        end.close()
        assert list(lines) == ["bad \ufffd", "last"]


def test_a_stream_without_a_descriptor():
    assert list(lines_of(io.StringIO("a\nb"))) == ["a", "b"]
