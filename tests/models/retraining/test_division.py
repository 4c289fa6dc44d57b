"""New texts beside old splits: none that is held out is learnt, whatever somebody says of it."""

import json
import shutil
from dataclasses import replace

import pytest

from models.data.labelled import LABELS_NAME, read_counts, read_labels, read_split, read_unlabelled
from models.data.splits import SPLITS, assigned, normalised
from models.pipeline import Pipeline
from models.recipe import RecipeError, lineage
from models.retraining.collect import Found
from models.retraining.division import divide_new
from models.retraining.recipes import data_of, refreshed, write_tables
from models.runners import RUNNERS

STATIC = """
[static]
max_length = 32
vocabulary = "learnt"
vocabulary_words = 60
epochs = 1
learning_rate = 1e-2
"""
HEAD = """
family = "tone"
[data]
validation_share = 0.2
calibration_share = 0.2
test_share = 0.2
"""
KINDS = {
    "names": ('files = ["a.jsonl"]', lambda n: ("bad", "good")[n % 2]),
    "numbers": ('files = ["a.jsonl"]\nlabels = ["1", "2"]', lambda n: 1 + n % 2),
    "indices": ('files = ["a.jsonl"]\nlabels = ["bad", "good"]', lambda n: n % 2),
    "bins": (
        'files = ["a.jsonl"]\nbins = { good = [0, 5], bad = [-5, 0] }', lambda n: (-3, 2.5)[n % 2]
    ),
    "rename": (
        'files = ["a.jsonl"]\nrename = { Spam = "spam" }', lambda n: ("spam", "Spam", "ham")[n % 3]
    ),
    "several": (
        'files = ["a.jsonl"]\nproblem_type = "multi_label"\nseparator = "|"',
        lambda n: ("a", "a|b", "", "b, too|a")[n % 4],
    ),
    "columns": (
        """
        files = ["a.jsonl"]
        text = "label"
        label = "text"
        group_report = ["region", "age"]
        group = "who"
        splits = { test = ["b.jsonl"] }
        unlabelled = ["c.jsonl"]""",
        lambda n: ("bad", "good")[n % 2],
    ),
}  # fmt: skip


def write(folder, kind):
    """A recipe of this kind with its tables, and its folder of divided texts."""
    section, label = KINDS[kind]
    text_name, label_name = ("label", "text") if kind == "columns" else ("text", "label")
    recipes = folder / "recipes"
    recipes.mkdir(parents=True)
    (recipes / "first.toml").write_text(HEAD + section + STATIC)
    for name, numbers in (("a", range(200)), ("b", range(200, 260)), ("c", range(260, 300))):
        rows = [
            {text_name: f"text number {n}", label_name: label(n), "who": f"w{n // 4}",
             "region": ("north", "south")[n % 2], "age": n % 7}
            for n in numbers
        ]  # fmt: skip
        (recipes / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = tuple(lineage(recipes / "first.toml"))
    Pipeline(folder / "build", folder / "none", RUNNERS).make(recipe, "data")
    return recipe, folder / "build/tone/first/data"


def found(*rows, unlabelled=()):
    return Found(list(rows), [], list(unlabelled), 0, [], None, {})


def again(folder, recipe, divided):
    """Divide the texts by the recipe that refresh derives; return the folder."""
    write_tables(divided, recipe[0].data, folder / "tables/first")
    (derived,) = refreshed([recipe], folder / "tables", folder / "build")
    pipeline = Pipeline(folder / "again", folder / "none", RUNNERS)
    pipeline.make(derived, "data")
    return pipeline.folder(derived[0], "data")


@pytest.mark.parametrize("kind", KINDS)
def test_without_new_texts_the_derived_recipe_divides_as_before(tmp_path, kind):
    recipe, data = write(tmp_path, kind)

    made = again(tmp_path, recipe, divide_new(found(), data, recipe[0].data))

    for split in SPLITS:
        assert read_split(made, split) == read_split(data, split) != []
    assert read_unlabelled(made) == read_unlabelled(data)
    assert read_labels(made) == read_labels(data)


@pytest.mark.parametrize("kind", KINDS)
def test_new_texts_get_to_every_split_and_unlabelled_ones_to_none(tmp_path, kind):
    recipe, data = write(tmp_path, kind)
    names = read_labels(data).names
    new = [(f"something new {n}", (names[n % len(names)],)) for n in range(100)]
    more = [*(f"unlabelled {n}" for n in range(30)), "SOMETHING new 3!", "text number 5", "?!"]
    divided = divide_new(found(*new, unlabelled=more), data, recipe[0].data)
    section = recipe[0].data.model_copy(update={"splits": {}})

    made = again(tmp_path, recipe, divided)

    assert sum(divided.counts.added.values()) == 100
    kept = [text for text in more[:30] if assigned(normalised(text), section) == "train"]
    assert divided.counts.unlabelled == len(kept) < 30
    place = {row.text: split for split in SPLITS for row in read_split(made, split)}
    for split in SPLITS:
        old = read_split(data, split)
        now = read_split(made, split)
        assert now[: len(old)] == old
        assert len(now) == len(old) + divided.counts.added[split] > len(old)
        for row in now[len(old) :]:
            number = int(row.text.split()[-1])
            assert [names[at] for at in row.labels] == list(new[number][1])
            assert set(row.groups) <= {""}
    unlabelled = read_unlabelled(made)
    assert unlabelled == [*read_unlabelled(data), *kept]
    assert not {normalised(text) for text in place} & {normalised(text) for text in unlabelled}
    assert read_counts(made)["contradictory"] == 0


def test_a_new_text_is_in_the_same_split_in_every_turn(tmp_path):
    recipe, data = write(tmp_path, "names")
    new = [(f"something new {n}", ("good",)) for n in range(100)]

    first = divide_new(found(*new[:50]), data, recipe[0].data)
    second = divide_new(found(*reversed(new)), data, recipe[0].data)

    for split in SPLITS:
        assert {row.text for row in first.splits[split]} <= {
            row.text for row in second.splits[split]
        }


def test_feedback_moves_no_held_out_label_and_wins_in_train(tmp_path):
    recipe, data = write(tmp_path, "names")
    splits = {split: read_split(data, split) for split in SPLITS}
    names = read_labels(data).names
    said = [
        (f" {row.text.upper()}!", (names[1 - row.labels[0]],))
        for rows in splits.values()
        for row in rows
    ]
    same = [(row.text, (names[row.labels[0]],)) for row in splits["train"][:5]]

    divided = divide_new(found(*said[5:], *same), data, recipe[0].data)

    counts = divided.counts
    held_out = sum(len(rows) for split, rows in splits.items() if split != "train")
    assert (counts.held_out, counts.disputed) == (held_out, held_out)
    assert (counts.confirmed, counts.corrected) == (5, len(splits["train"]) - 5)
    assert set(counts.added.values()) == {0}
    for split, rows in splits.items():
        now = divided.splits[split]
        assert [row.text for row in now] == [row.text for row in rows]
        changed = [row.names != (names[old.labels[0]],) for row, old in zip(now, rows, strict=True)]
        assert changed == [split == "train" and at >= 5 for at in range(len(rows))]


def test_texts_in_contradiction_are_left_out_and_repeated_ones_count_once(tmp_path):
    recipe, data = write(tmp_path, "names")
    rows = [("New!", ("good",)), ("new", ("bad",)), ("other", ("bad",)), ("Other", ("bad",))]

    divided = divide_new(found(*rows, ("?!", ("bad",))), data, recipe[0].data)

    assert (divided.counts.contradictory, divided.counts.repeated) == (1, 1)
    added = [row.text for split in SPLITS for row in divided.splits[split]]
    assert added.count("other") == 1
    assert "New!" not in added
    assert "new" not in added


def test_an_unlabelled_text_that_is_learnt_is_never_held_out_by_its_label_later(tmp_path):
    recipe, data = write(tmp_path, "names")
    texts = [f"something new {n}" for n in range(100)]

    first = divide_new(found(unlabelled=texts), data, recipe[0].data)
    later = divide_new(found(*((text, ("good",)) for text in texts)), data, recipe[0].data)

    learnt = {*first.unlabelled} & {*texts}
    assert learnt
    assert learnt <= {row.text for row in later.splits["train"]}


def test_an_unlabelled_text_that_gets_a_label_is_unlabelled_no_more(tmp_path):
    recipe, data = write(tmp_path, "columns")
    text = read_unlabelled(data)[0]

    divided = divide_new(found((text, ("good",))), data, recipe[0].data)

    assert text not in divided.unlabelled
    assert text in {row.text for split in SPLITS for row in divided.splits[split]}


def test_columns_of_groups_that_came_after_the_build_are_empty(tmp_path):
    recipe, data = write(tmp_path, "columns")
    section = recipe[0].data.model_copy(update={"group_report": ("age", "later")})

    divided = divide_new(found(), data, section)

    old = {row.text: row.groups for row in read_split(data, "test")}
    for row in divided.splits["test"]:
        assert row.groups == (old[row.text][1], "")


def test_what_cannot_be_added_to_is_refused(tmp_path):
    recipe, data = write(tmp_path, "names")
    about = json.loads((data / LABELS_NAME).read_text())
    (data / LABELS_NAME).write_text(json.dumps(about | {"truth": "teacher"}))
    with pytest.raises(RecipeError, match=r'first\.toml has truth = "teacher"'):
        data_of(recipe[0], tmp_path / "build")

    shutil.rmtree(data)
    with pytest.raises(RecipeError, match=r"run `python -m models data .*first\.toml` first"):
        data_of(recipe[0], tmp_path / "build")


def test_no_count_is_of_the_texts_themselves(tmp_path):
    """The record outlives the texts."""
    recipe, data = write(tmp_path, "names")
    secret = replace(found(("my secret", ("good",))), feedback=[("my secret", ("good",))])

    divided = divide_new(secret, data, recipe[0].data)

    assert "secret" not in divided.counts.model_dump_json()
