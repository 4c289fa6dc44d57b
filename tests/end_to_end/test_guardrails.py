"""The program that measures a family as a guardrail, and its harmless prompts."""

import csv
import json
from collections import Counter

import pytest

from serving.bundles.registry import read_registry
from tests.benchmarks import guardrails
from tests.support.tone_family import READS, write_tone

AROUND = {"value": 0.3, "low": 0.2, "high": 0.4}
HASH = "0" * 64


@pytest.fixture
def tone(tmp_path):
    return tmp_path, write_tone(tmp_path)


def printed(tone, capsys, *options):
    """The table's rows."""
    home, data = tone
    where = ("--registry", str(home / "registry"), "--data", str(data))
    guardrails.main(["tone", "--label", "negative", *where, *options])
    lines = capsys.readouterr().out.splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


def write_decisions(registry, thresholds):
    """decisions.json as `python -m models decide` writes it; `thresholds` are by variant."""
    versions = {
        each.manifest.variant: each.manifest.version for each in read_registry(registry)["tone"]
    }
    deciders = [
        {
            "variant": variant,
            "versions": {variant: versions[variant]},
            "labels": [
                {
                    "label": "negative", "threshold": threshold, "n": 200, "risk": 0.04,
                    "false_positive_rate": AROUND, "recall": AROUND, "flagged": AROUND,
                }
            ],
        }
        for variant, threshold in thresholds.items()
    ]  # fmt: skip
    decisions = {
        "family": "tone",
        "targets": [{"label": "negative", "max_false_positive_rate": 0.1}],
        "confidence": 0.95,
        "batch_texts": 8,
        "chosen_sha256": HASH,
        "judged_sha256": HASH,
        "deciders": deciders,
    }
    (registry / "tone" / "decisions.json").write_text(json.dumps(decisions))


def percent(cell):
    return float(cell.partition(" ")[0])


def test_each_variant_is_counted_by_its_own_rule(tone, capsys):
    rows = printed(tone, capsys)

    assert sorted(row["variant"] for row in rows) == sorted(READS)
    assert {row["flags"] for row in rows} == {"its own"}
    assert {row["variant"]: percent(row["recall, %"]) for row in rows}["large"] > 80
    assert all(row["hard negatives"].endswith(" of 60") for row in rows)
    assert all(float(row["ms"]) > 0 and float(row["ms, full"]) > 0 for row in rows)


def test_a_variant_with_a_decision_is_counted_from_its_threshold_on_too(tone, capsys):
    write_decisions(tone[0] / "registry", {"large": 0.999999, "small": 1e-9})

    rows = printed(tone, capsys)

    by_rule = {(row["variant"], row["flags"].split()[0]): row for row in rows}
    assert {variant for variant, rule in by_rule if rule == "from"} == {"large", "small"}
    assert percent(by_rule["large", "from"]["recall, %"]) == 0
    assert percent(by_rule["small", "from"]["false positives, %"]) == 100
    assert by_rule["small", "from"]["of them"].count(" 15") == 4


def test_a_list_of_words_stands_beside_the_variants(tone, capsys, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("bad\nAwful\n\nkill a Python process\n")

    rows = printed(tone, capsys, "--words", str(words))

    assert rows[-1]["variant"] == "words.txt, 3 entries"
    assert percent(rows[-1]["recall, %"]) > 70
    assert rows[-1]["hard negatives"] == "1 of 60"
    assert rows[-1]["of them"] == "violence 1"


def test_a_label_that_the_data_lacks_is_said(tone):
    home, data = tone

    with pytest.raises(SystemExit, match="--label spam: choose from negative, positive"):
        guardrails.main(["tone", "--label", "spam", "--registry", str(home), "--data", str(data)])


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
