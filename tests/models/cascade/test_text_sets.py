import json

import pytest

from models.cascade.text_sets import data_folder, read_halves, read_text_set
from models.data.labelled import LabelSet
from models.recipe import RecipeError
from serving.bundles.bundle import file_sha256

LABELS = LabelSet(("negative", "positive"), "single_label")


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows(count):
    return [{"text": f"text {n}", "label": LABELS.names[n % 2]} for n in range(count)]


def test_a_table_s_rows_are_halved_at_random_with_their_labels(tmp_path):
    path = written(tmp_path / "traffic.jsonl", rows(40))

    first, second = read_halves(path, LABELS, "accuracy")

    assert len(first.texts) == len(second.texts) == 20
    assert {*first.texts, *second.texts} == {row["text"] for row in rows(40)}
    assert first.texts != sorted(first.texts)
    for half in (first, second):
        assert half.truth[:, 1].tolist() == [int(text[5:]) % 2 == 1 for text in half.texts]
    assert first.sha256 != second.sha256


def test_a_text_counts_as_often_as_traffic_has_it(tmp_path):
    """Each counted once, so a text that was 30 % of the traffic was 0.1 % of the calibration."""
    often = [{"text": "where is my order?", "label": "negative"}] * 305
    path = written(tmp_path / "traffic.jsonl", rows(695) + often)

    for half in read_halves(path, LABELS, "accuracy"):
        share = half.texts.count("where is my order?") / len(half.texts)
        assert share == pytest.approx(0.305, abs=0.04)


def test_agreement_needs_no_label(tmp_path):
    path = tmp_path / "traffic.csv"
    path.write_text("text\none\ntwo\n")

    first, second = read_halves(path, LABELS, "agreement")

    assert sorted(first.texts + second.texts) == ["one", "two"]
    assert not first.truth.any()


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"text": "fine", "label": "odd"}, r"'odd' is not one of the family's labels \(neg"),
        ({"text": " ", "label": "negative"}, "line 2: empty text: fill it in"),
        ({"text": "fine"}, "no column 'label'"),
    ],
)
def test_a_row_of_no_use_is_named(tmp_path, row, complaint):
    path = written(tmp_path / "traffic.jsonl", [*rows(1), row])

    with pytest.raises(RecipeError, match=complaint):
        read_halves(path, LABELS, "accuracy")


def test_a_split_comes_in_an_order_that_says_nothing(tmp_path):
    about = {"labels": LABELS.names, "problem_type": LABELS.problem_type}
    (tmp_path / "data.json").write_text(json.dumps(about))
    path = written(
        tmp_path / "test.jsonl", [{"text": f"text {n:03}", "labels": [n % 2]} for n in range(99)]
    )

    found = read_text_set(tmp_path, "test")

    assert found.texts != sorted(found.texts)
    assert found.truth[:, 1].tolist() == [int(text[5:]) % 2 == 1 for text in found.texts]
    assert found.sha256 == file_sha256(path)


def test_a_family_without_data_is_told_what_to_run(tmp_path):
    with pytest.raises(RecipeError, match="run `python -m models data`"):
        data_folder("tone", tmp_path)


def write_splits(folder, texts):
    folder.mkdir(parents=True)
    (folder / "data.json").write_text("{}")
    for split in ("train", "validation", "calibration", "test"):
        written(folder / f"{split}.jsonl", rows(texts))
    return folder


def test_two_roots_of_a_family_share_equal_texts(tmp_path):
    write_splits(tmp_path / "tone" / "static-fp32" / "data", 9)
    teacher = write_splits(tmp_path / "tone" / "teacher-fp32" / "data", 9)
    assert data_folder("tone", tmp_path) == teacher

    write_splits(tmp_path / "tone" / "other-fp32" / "data", 8)

    with pytest.raises(RecipeError, match="has 2 data sets instead of one"):
        data_folder("tone", tmp_path)
