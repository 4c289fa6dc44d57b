"""What an earlier run found out is used only for the same files."""

from dataclasses import replace

import pytest

from models.compression.facts import Facts
from models.compression.state import read_state
from models.compression.wanted import Wanted
from tests.support.compression_facts import MINILM, TEXTS

FACTS = Facts(MINILM, TEXTS, 0.01, 0.01, 0.003)


@pytest.fixture
def saved(tmp_path):
    """What was wanted, and the source, of a run that has looked at both."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (source / name).write_text("{}")
    (tmp_path / "texts.csv").write_text("text\nfirst\n")
    wanted = Wanted(
        "source", (tmp_path / "texts.csv",), "tone", tmp_path / "recipes", tmp_path / "registry"
    )
    state = read_state(wanted, source)
    assert state.facts is None
    state.facts = FACTS
    state.save()
    return wanted, source


def test_facts_are_found_once(saved):
    assert read_state(*saved).facts == FACTS


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_another_model_in_the_folder_is_looked_at_anew(saved, name):
    wanted, source = saved
    (source / name).write_text("[]")

    assert read_state(wanted, source).facts is None


def test_other_texts_or_columns_are_looked_at_anew(saved):
    wanted, source = saved
    assert read_state(replace(wanted, text="body"), source).facts is None
    wanted.data[0].write_text("text\nsecond\n")

    assert read_state(wanted, source).facts is None
