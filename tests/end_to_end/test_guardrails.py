"""The program that measures a family as a guardrail, and its harmless prompts."""

import csv
from collections import Counter

import numpy as np
import pytest

from tests.benchmarks import guardrails
from tests.support.tone_family import READS, write_tone


@pytest.fixture(scope="module")
def tone(tmp_path_factory):
    home = tmp_path_factory.mktemp("tone")
    return home, write_tone(home)


def printed(tone, capsys, *options):
    """The lines, and the table's rows."""
    home, data = tone
    where = ("--registry", str(home / "registry"), "--data", str(data))
    guardrails.main(["tone", "--label", "negative", *where, *options])
    lines = capsys.readouterr().out.splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return lines, [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


def share(cell):
    return float(cell.partition(" ")[0]) / 100


def test_each_variant_is_counted_by_its_own_rule_and_from_a_threshold_on(tone, capsys):
    lines, rows = printed(tone, capsys, "--max-false-positive-rate", "0.1")

    assert "chose the thresholds: at most 10.0% of all are flagged, with 95% confidence" in lines[0]
    assert sorted(row["variant"] for row in rows) == sorted([*READS, *READS])
    assert [row["flags"].split()[0] for row in rows] == ["its", "from"] * 3
    own, chosen = rows[0::2], rows[1::2]
    assert {row["variant"]: share(row["recall, %"]) for row in own}["large"] > 0.8
    for row in chosen:
        assert share(row["false positives, %"]) < 0.15
    assert all(row["hard negatives"].endswith(" of 60") for row in rows)
    assert all(float(row["ms"]) > 0 and float(row["ms, full"]) > 0 for row in rows)


def test_too_few_texts_for_a_rate_are_said(tone, capsys):
    lines, rows = printed(tone, capsys)

    assert "That takes 299 texts: no threshold" in lines
    assert {row["flags"] for row in rows} == {"its own"}


def test_a_list_of_words_stands_beside_the_variants(tone, capsys, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("bad\nAwful\n\nkill a Python process\n")

    _, rows = printed(tone, capsys, "--words", str(words))

    assert rows[-1]["variant"] == "words.txt, 3 entries"
    assert share(rows[-1]["recall, %"]) > 0.7
    assert rows[-1]["hard negatives"] == "1 of 60"
    assert rows[-1]["of them"] == "violence 1"


def test_a_label_that_the_data_lacks_is_said(tone):
    home, data = tone

    with pytest.raises(SystemExit, match="--label spam: choose from negative, positive"):
        guardrails.main(["tone", "--label", "spam", "--registry", str(home), "--data", str(data)])


def test_the_threshold_keeps_its_promise():
    """Where scores are uniform, the true rate of a threshold t is 1 - t."""
    generator = np.random.default_rng(0)
    found = [guardrails.threshold(generator.random(500), 0.02, 0.95) for _ in range(1000)]

    missed = np.mean([1 - limit > 0.02 for limit in found])
    assert 0.01 < missed <= 0.06
    assert np.median(found) < 0.995


def test_no_more_texts_than_allowed_pass_a_threshold_among_equal_scores():
    scores = np.array([0.2] * 300 + [0.7] * 200)

    limit = guardrails.threshold(scores, 0.01, 0.95)

    assert limit > 0.7
    assert guardrails.threshold(np.zeros(298), 0.01, 0.95) is None
    assert guardrails.threshold(np.zeros(299), 0.01, 0.95) > 0


def test_words_are_matched_whole_in_any_case_and_across_lines():
    matches = guardrails.word_matcher(["Act now", "ass", "f*ck", ""])

    assert matches("ACT\n NOW!")
    assert matches("an ass.")
    assert matches("f*ck")
    assert not matches("assess, exact nowhere")


def test_there_are_sixty_harmless_prompts_in_four_classes():
    with guardrails.HARD_NEGATIVES.open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert Counter(row["words"] for row in rows) == dict.fromkeys(
        ("violence", "insults", "spam", "injection"), 15
    )
    assert len({row["text"] for row in rows}) == 60
