"""What is collected from a log that the server's writer wrote, and from tables of labels."""

import json

import pytest

from models.monitoring.log import read_log
from models.recipe import RecipeError
from models.retraining.collect import find
from serving.bundles.bundle import read_bundle
from tests.support.bundles import write_bundle
from tests.support.text_logs import START_S, feedback_row, text_row, write_log


def live(folder, **fields):
    write_bundle(folder, **fields)
    return [read_bundle(folder)]


def log_of(folder, texts, feedback=()):
    return read_log(str(write_log(folder / "log", texts, feedback)), None, "tone", 1000)


def test_feedback_tables_and_other_texts_are_told_apart(tmp_path):
    texts = [text_row(str(n), f" text {n} ", 0.7) for n in range(4)]
    feedback = [
        feedback_row("1", "positive", "negative", at_s=START_S + 5),
        feedback_row("2", "positive", "positive", at_s=START_S + 9),
        feedback_row("elsewhere", "positive", "positive", at_s=START_S + 20),
        feedback_row("3", "positive", "neutral", at_s=START_S + 20),
    ]
    table = tmp_path / "worth-labelling.csv"
    table.write_text("text,label,predicted\nsaid,positive,negative\nunsaid,,negative\nnan,nan,x\n")

    found = find(log_of(tmp_path, texts, feedback), [table], live(tmp_path / "bundle"))

    assert sorted(found.feedback) == [("text 1", ("negative",)), ("text 2", ("positive",))]
    assert found.tables == [("said", ("positive",))]
    assert found.unfilled == 2
    assert sorted(found.unlabelled) == [f"text {n}" for n in range(4)]
    assert found.newest.timestamp() == START_S + 9
    assert len(found.left_out) == 2
    assert list(found.table_hashes) == [str(table)]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_with_several_labels_an_empty_cell_is_unfilled_and_an_empty_list_means_none(
    tmp_path, suffix
):
    table = tmp_path / f"labels.{suffix}"
    if suffix == "csv":
        table.write_text('text,label\none,"negative,positive"\ntwo, \nthree,positive\n')
    else:
        cells = [["positive", "negative"], "", ["positive"], []]
        names = ["one", "two", "three", "four"]
        rows = [{"text": a, "label": b} for a, b in zip(names, cells, strict=True)]
        table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts = [text_row("1", "text", 0.7)]
    several = live(tmp_path / "bundle", problem_type="multi_label")

    found = find(log_of(tmp_path, texts), [table], several)

    expected = [("one", ("negative", "positive")), ("three", ("positive",))]
    assert found.tables == expected + ([("four", ())] if suffix == "jsonl" else [])
    assert found.unfilled == 1


def test_a_wrong_label_is_refused_with_its_line(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("text,label\none,positive\ntwo,positiv\n")
    log = log_of(tmp_path, [text_row("1", "text", 0.7)])

    with pytest.raises(RecipeError, match=r"labels\.csv, line 3: 'positiv' is not one of the fam"):
        find(log, [table], live(tmp_path / "bundle"))


def test_feedback_that_cannot_be_a_text_s_labels_is_left_out_and_counted(tmp_path):
    texts = [text_row(str(n), f"text {n}", 0.7) for n in range(4)]
    feedback = [
        feedback_row("0", "positive", "") | {"right": []},
        feedback_row("1", "positive", "") | {"right": ["negative", "positive"]},
        feedback_row("2", "positive", "negative"),
    ]

    found = find(log_of(tmp_path, texts, feedback), [], live(tmp_path / "bundle"))

    assert found.feedback == [("text 2", ("negative",))]
    assert found.left_out == ["2 feedback has labels that the family cannot give"]


def test_a_clock_that_is_ahead_does_not_make_later_feedback_old(tmp_path):
    texts = [text_row(str(n), f"text {n}", 0.7) for n in range(2)]
    feedback = [
        feedback_row("0", "positive", "negative", at_s=START_S + 5),
        feedback_row("1", "positive", "negative", at_s=START_S * 4),
    ]

    found = find(log_of(tmp_path, texts, feedback), [], live(tmp_path / "bundle"))

    assert len(found.feedback) == 2
    assert found.newest.timestamp() == START_S + 5


@pytest.mark.parametrize("cell", ["0", "1", "true"])
def test_a_number_is_not_taken_for_the_label_in_that_place(tmp_path, cell):
    table = tmp_path / "labels.jsonl"
    table.write_text(f'{{"text": "one", "label": {cell}}}\n')
    log = log_of(tmp_path, [text_row("1", "text", 0.7)])

    with pytest.raises(
        RecipeError, match=rf"'{cell}' is not one of the family's labels \(negative"
    ):
        find(log, [table], live(tmp_path / "bundle"))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"body": "one", "label": "good"}', "no column 'text', only 'body', 'label': rename"),
        ('{"text": "one", "label": ["positive"]}', "is a list: write the one label"),
    ],
)
def test_a_table_of_another_form_is_refused_without_options_that_there_are_not(tmp_path, row, said):
    table = tmp_path / "labels.jsonl"
    table.write_text(f"{row}\n")
    log = log_of(tmp_path, [text_row("1", "text", 0.7)])

    with pytest.raises(RecipeError, match=said) as raised:
        find(log, [table], live(tmp_path / "bundle"))
    assert not {"--text", "--label", "[data]"} & set(str(raised.value).split())


def test_a_folder_in_place_of_a_table_is_refused(tmp_path):
    log = log_of(tmp_path, [text_row("1", "text", 0.7)])

    with pytest.raises(RecipeError, match="is not a file: name a table"):
        find(log, [tmp_path], live(tmp_path / "bundle"))


def test_a_family_of_pairs_is_refused(tmp_path):
    log = log_of(tmp_path, [text_row("1", "text", 0.7)])

    with pytest.raises(RecipeError, match="tone does not give single texts labels"):
        find(log, [], live(tmp_path / "bundle", pairs=True))


def test_a_text_that_a_live_tokenizer_makes_nothing_of_is_left_out(tmp_path):
    """Whatever trains or measures would refuse it by its words, which no report may keep."""
    bundles = live(tmp_path / "bundle")
    rules = json.loads(bundles[0].tokenizer_path.read_text())
    rules["post_processor"] = None
    rules["normalizer"] = {"type": "Replace", "pattern": {"String": "x"}, "content": ""}
    bundles[0].tokenizer_path.write_text(json.dumps(rules))
    texts = [text_row("1", "good", 0.7), text_row("2", "xx", 0.7)]
    table = tmp_path / "labels.csv"
    table.write_text("text,label\nxxx,positive\ngood,positive\n")

    found = find(
        log_of(tmp_path, texts, [feedback_row("2", "positive", "negative")]), [table], bundles
    )

    assert (found.feedback, found.unlabelled) == ([], ["good"])
    assert found.tables == [("good", ("positive",))]
    assert "2 texts without a token" in found.left_out
