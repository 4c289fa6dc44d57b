"""What is made of what was collected, and what is refused."""

import shutil

import pytest

from models.data.splits import assigned, normalised
from models.recipe import read_recipe
from tests.support.refreshed_family import (
    last,
    left_in,
    log_texts,
    new_versions,
    refresh,
    traffic,
    versions,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


def test_what_a_gate_refuses_stays_as_it_is(here, capsys):
    before = versions()
    log_texts("log", traffic(150))
    gated = here / "recipes/static-int8.toml"
    gated.write_text(gated.read_text().replace("0.1", "0.0001"))

    assert refresh() == 0

    assert set(new_versions(here)) == {"static-fp32"}
    assert "Refused: static-int8:" in (said := capsys.readouterr().out)
    assert "As they are: static-int8" in said
    assert versions() == before


def test_if_all_are_refused_nothing_is_tried_and_the_next_start_collects_again(here, capsys):
    log_texts("log", traffic(150))
    root = here / "recipes/static-fp32.toml"
    before = root.read_text()
    gate = "[evaluate]\nmin_accuracy = 1.0\n"
    root.write_text(f"{before.replace('epochs = 20', 'epochs = 1')}{gate}")
    (here / "recipes/static-int8.toml").unlink()

    assert refresh() == 2

    said = capsys.readouterr()
    assert "Removed the collected texts from build/refresh/tone" in said.out
    assert left_in(here) == {"record.json", "lock"}
    assert last(here)["refused"]
    assert not (here / "build/registry/tone/traffic.json").exists()
    root.write_text(before)
    assert refresh() == 0
    assert "collect:" in capsys.readouterr().out
    assert last(here)["refused"] is None
    assert set(new_versions(here)) == {"static-fp32"}


def test_filled_in_tables_teach_too_and_empty_rows_do_not(here, capsys):
    rows = traffic(120)
    log_texts("log", [], [text for text, _ in rows])
    cells = "".join(f"{text},{label if n < 100 else ''}\n" for n, (text, label) in enumerate(rows))
    (here / "labels.csv").write_text(f"text,label\n{cells}")
    assert refresh() == 2
    assert "nothing to learn from: no logged text of tone has feedback" in capsys.readouterr().err

    assert refresh("--labelled", "labels.csv") == 0

    collected = last(here)["collected"]
    assert (collected["tables"], collected["unfilled"]) == (100, 20)
    assert sum(collected["added"].values()) == 100
    data = read_recipe(here / "recipes/static-fp32.toml").data
    learnt = [text for text, _ in rows[100:] if assigned(normalised(text), data) == "train"]
    assert collected["unlabelled"] == len(learnt) > 0


def test_if_all_new_texts_are_held_out_there_is_no_new_version(here, capsys):
    data = read_recipe(here / "recipes/static-fp32.toml").data
    held_out = [row for row in traffic(200) if assigned(normalised(row[0]), data) == "test"]
    log_texts("log", held_out[:3])

    assert refresh() == 0

    assert "Unchanged. The new versions are the live ones" in capsys.readouterr().out
    assert last(here)["outcome"] == "unchanged"


def test_a_family_without_its_divided_texts_says_how_to_get_them(here, capsys):
    log_texts("log", traffic(10))
    shutil.rmtree(here / "build/tone")

    assert refresh() == 2
    assert "run `python -m models data recipes/static-fp32.toml` first" in capsys.readouterr().err
