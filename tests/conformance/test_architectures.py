"""Every architecture of the installed transformers is served as it answers, or refused with why."""

import pytest

from tests.conformance.architectures import ARCHITECTURES
from tests.conformance.quiet import quietly
from tests.conformance.rows import row_of
from tests.conformance.table import PAGE, faults, line, lines_of

_GROUPS = 8
WRITE = "run `python -m tests.conformance.table --write` and read what changed"

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


def grouped():
    """The architectures, in groups of which each goes to one worker."""
    for number, name in enumerate(ARCHITECTURES):
        yield pytest.param(name, marks=pytest.mark.xdist_group(f"architectures{number % _GROUPS}"))


@pytest.mark.parametrize("architecture", list(grouped()))
def test_an_architecture_is_equal_to_transformers_or_refused_as_the_page_says(
    architecture, tmp_path
):
    with quietly():
        row = row_of(architecture, tmp_path)

    assert list(faults(row)) == []
    assert line(row) == lines_of(PAGE.read_text())[architecture], WRITE


def test_the_page_lists_every_architecture_of_the_library_and_no_other():
    assert list(lines_of(PAGE.read_text())) == ARCHITECTURES, WRITE
