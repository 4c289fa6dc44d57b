"""Every architecture of the installed transformers is served as it answers, or refused with why."""

import pytest
import torch

from serving.inference.engine_selection import ENGINES
from tests.conformance.architectures import ARCHITECTURES
from tests.conformance.judging import EQUAL, Failing, judge
from tests.conformance.quiet import quietly
from tests.conformance.reference import Reference
from tests.conformance.rows import imported, row_of
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


@pytest.mark.parametrize("engine", ENGINES)
def test_other_weights_and_another_tokenizer_are_not_equal(exported, loaded, tmp_path, engine):
    ours, other = exported("bert"), loaded(exported("bert").folder)
    with quietly():
        bundle = imported(ours.folder, tmp_path, "variant")
        with torch.no_grad():
            other.model.classifier.bias[0] += 0.1
        weights = judge(bundle, engine, Reference(other.model, ours.tokenizer), ["single"])
        other.tokenizer.model_max_length -= 1
        limit = judge(bundle, engine, Reference(ours.model, other.tokenizer), ["single", "cut"])

    assert isinstance(weights["single"], Failing)
    assert limit["single"] == EQUAL
    assert isinstance(limit["cut"], Failing)
