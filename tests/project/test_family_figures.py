"""The published scores of the family: what was recorded, what ships, and what the pages say."""

import json

import numpy as np
import pytest
from scipy import stats

from models.evaluation.statistics import proportion
from models.reports.model_card import card
from serving.bundles.registry import read_registry
from tests.project.figures import DOCS, ROOT, section

BENCHMARKS = DOCS / "development" / "benchmarks"
RECORD = json.loads((BENCHMARKS / "2026-11-23-family.json").read_text())
TEXTS, VARIANTS = RECORD["test_texts"], RECORD["variants"]
SHIPPED = {
    bundle.manifest.variant: bundle
    for bundle in read_registry(ROOT / "models" / "registry")["sentiment"]
}
README = (ROOT / "README.md").read_text()
PAGE = section(BENCHMARKS / "index.md", "2026-11-23.md#the-family")


def rows(text):
    """The cells of the rows about variants of the family."""
    lines = (line for line in text.splitlines() if line.startswith("| "))
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [cells for cells in found if VARIANTS.keys() & cells[0].split()]


def scores(name):
    """Compute from the recorded counts what pages write of a variant's answers."""
    variant = VARIANTS[name]
    better, worse = variant["better"], variant["worse"]
    found = proportion(np.arange(TEXTS) < RECORD["teacher"]["correct"] + better - worse)
    differ = better + worse
    return {
        "accuracy": f"{100 * found.value:.1f}",
        "interval": f"({100 * found.low:.1f} to {100 * found.high:.1f})",
        "difference": f"{100 * (better - worse) / TEXTS:+.2f}",
        "p": f"{stats.binomtest(better, differ).pvalue if differ else 1.0:.2g}",
        "agreement": f"{100 * (1 - differ / TEXTS):.1f}",
        "changed": f"{100 * variant['changed_in_batch'] / TEXTS:.2f}",
    }


def test_the_record_has_the_variants_that_the_recipes_make():
    recipes = {path.stem for path in (ROOT / "models/recipes/sentiment").glob("*.toml")}

    assert set(VARIANTS) == recipes
    assert len(recipes) == 19
    assert set(SHIPPED) < recipes


def test_the_benchmark_pages_table_is_the_record():
    largest = max(variant["bytes"] for variant in VARIANTS.values())
    for cells in (found := rows(PAGE)):
        name, variant = cells[0], VARIANTS[cells[0]]
        told = scores(name)
        of_teacher = name == RECORD["teacher"]["variant"]
        assert cells[1:] == [
            variant["precision"],
            f"{variant['parameters']:,}",
            f"{variant['bytes']:,}",
            f"{largest / variant['bytes']:.1f}",
            f"{told['accuracy']} {told['interval']}",
            f"{variant['macro_f1_percent']:.1f}",
            f"{variant['calibration_error_percent']:.1f}",
            "" if of_teacher else told["agreement"],
            "" if of_teacher else f"{told['difference']} ({told['p']})",
            told["changed"],
            str(variant["offline_texts_per_s"]),
            str(variant["build_s"]),
        ]
    assert [cells[0] for cells in found] == list(VARIANTS)


def test_the_readmes_table_is_the_record():
    for cells in (found := rows(README)):
        name, ships = cells[0].split()[0], cells[0].endswith("(ships)")
        told, variant = scores(name), VARIANTS[name]
        assert ships == (name in SHIPPED)
        assert cells[1:] == [
            f"{variant['bytes'] / 1e6:.1f} MB",
            f"{told['accuracy']} % {told['interval']}",
            ""
            if name == RECORD["teacher"]["variant"]
            else f"{told['difference']} (p = {told['p']})",
            f"{variant['offline_texts_per_s']:,}",
        ]
    assert {cells[0].split()[0] for cells in found} > set(SHIPPED)
    assert f"on {TEXTS:,} held-out sentences" in README


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_what_was_recorded(name):
    manifest, variant = SHIPPED[name].manifest, VARIANTS[name]
    judged = manifest.judged
    paired = judged.versus[RECORD["teacher"]["variant"]]
    told = scores(name)

    assert (judged.n, paired.better, paired.worse) == (TEXTS, variant["better"], variant["worse"])
    assert f"{100 * judged.accuracy.value:.1f}" == told["accuracy"]
    assert (
        f"({100 * judged.accuracy.low:.1f} to {100 * judged.accuracy.high:.1f})"
        == (told["interval"])
    )
    assert f"{paired.p_value:.2g}" == told["p"]
    assert f"{100 * judged.agreement.value:.1f}" == told["agreement"]
    assert f"{100 * judged.batch_flips.value:.2f}" == told["changed"]
    assert round(100 * judged.macro_f1.value, 1) == variant["macro_f1_percent"]
    assert (
        round(100 * judged.expected_calibration_error.value, 1)
        == (variant["calibration_error_percent"])
    )
    assert round(judged.texts_per_second) == variant["offline_texts_per_s"]
    assert round(sum(manifest.build_seconds.values())) == variant["build_s"]
    assert (manifest.precision, manifest.parameters) == (
        variant["precision"],
        variant["parameters"],
    )
    # The card has changed since, and a bundle's bytes include its card.
    assert abs(manifest.bytes - variant["bytes"]) < 4_000


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_card_is_made_of_its_manifest(name):
    bundle = SHIPPED[name]
    size = bundle.manifest.bytes - bundle.manifest.files["README.md"].bytes
    before_the_card = bundle.manifest.model_copy(update={"bytes": size})

    assert bundle.path("README.md").read_text() == card(before_the_card)
