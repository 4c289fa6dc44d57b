"""Tests of the one line that other libraries' errors become."""

import pytest

from models.library_errors import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("no such layer: \n\nTraceback"), "no such layer"),
        (ValueError("\n  too wide.  \nmore"), "too wide"),
        (KeyError(), "KeyError"),
        (RuntimeError("   "), "RuntimeError"),
    ],
)
def test_it_is_the_first_with_words(error, line):
    assert first_line(error) == line
