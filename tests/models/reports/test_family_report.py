import json
import struct

import pytest

from models.__main__ import main
from models.recipe import RecipeError
from models.reports.family_report import markdown, run
from models.reports.markdown import comparison
from models.reports.model_card import card
from serving.bundles.bundle import read_bundle, write_manifest
from serving.bundles.evaluation import Estimate, Evaluation, Paired
from serving.bundles.registry import publish
from tests.support.bundles import write_bundle
from tests.support.risks import group_report, robustness

SIZES = (2, 4, 8, 16, 32, 64)


def around(value, spread=0.005):
    return {"value": value, "low": max(0.0, value - spread), "high": value + spread}


def evaluation(error, versus=()):
    return Evaluation.model_validate(
        {
            "split_sha256": "0" * 64,
            "n": 2000,
            "accuracy": around(1 - error),
            "macro_f1": around(1 - error),
            "expected_calibration_error": around(0.02),
            "calibrated_error": around(0.012),
            "uncalibrated_error": 0.08,
            "brier": around(2 * error),
            "negative_log_likelihood": around(3 * error),
            "labels": {
                name: {"precision": 0.9, "recall": 0.8, "f1": 0.85, "texts": 1000}
                for name in ("negative", "positive")
            },
            "confusion": [[900, 100], [200, 800]],
            "lengths": [{"shortest": 3, "longest": 9, "n": 2000, "accuracy": around(0.9)}],
            "agreement": around(0.95),
            "batch_flips": around(0.01),
            "versus": dict(versus),
            "texts_per_second": 321.0,
        }
    )


def paired(difference, p_value):
    return Paired(
        better=10,
        worse=30,
        p_value=p_value,
        difference=Estimate(value=difference, low=difference - 0.01, high=difference + 0.01),
    )


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """Six variants whose error falls as the square root of their size."""
    scratch = tmp_path_factory.mktemp("report")
    for size in SIZES:
        folder = scratch / f"size-{size}"
        write_bundle(folder, variant=f"size-{size}", ballast_bytes=100_000 * size)
        versus = {} if size == max(SIZES) else {"size-64": paired(-0.02, 0.001)}
        fields = read_bundle(folder).manifest.model_dump(exclude={"version", "bytes", "files"})
        test = evaluation(0.05 + 0.1 * (size / 8) ** -0.5, versus)
        changed = {"evaluations": {"test": test}, "parameters": 1000 * size, "temperature": 1.7}
        write_manifest(folder, **fields | changed)
        publish(folder, scratch / "registry")
    return scratch / "registry"


def manifest(registry, variant):
    return read_bundle(registry / "tone" / variant).manifest


def test_the_report_fits_the_curve_draws_it_and_keeps_the_figures(registry, tmp_path, capsys):
    assert main(["report", "tone", "--registry", str(registry), "--output", str(tmp_path)]) == 0

    printed = capsys.readouterr().out
    figures = json.loads((tmp_path / "tone" / "scaling.json").read_text())
    picture = (tmp_path / "tone" / "scaling.png").read_bytes()
    width, height = struct.unpack(">II", picture[16:24])
    assert [v["variant"] for v in figures["variants"]] == [f"size-{s}" for s in reversed(SIZES)]
    for fit in figures["fits"]:
        assert fit["doubts"] == []
        assert fit["alpha"] == pytest.approx(0.5, abs=0.05)
        assert fit["intervals"]["alpha"][0] < fit["alpha"] < fit["intervals"]["alpha"][1]
    assert "error against bytes: error = 0.0" in printed
    assert width > 1000
    assert height > 700


def test_two_variants_are_reported_without_a_curve(registry, tmp_path, capsys):
    for variant in ("size-2", "size-64"):
        publish(registry / "tone" / variant, tmp_path / "registry")
    options = ["--registry", str(tmp_path / "registry"), "--output", str(tmp_path)]

    assert main(["report", "tone", *options]) == 0

    printed = capsys.readouterr().out
    assert "| size-64 | fp32 |" in printed
    assert "No curve: it needs 3 variants, and there are 2." in printed
    assert json.loads((tmp_path / "tone" / "scaling.json").read_text())["fits"] == []
    assert (tmp_path / "tone" / "scaling.png").stat().st_size > 10_000


def test_the_table_has_every_variant_with_its_interval_and_its_paired_test(registry):
    rows = markdown([manifest(registry, "size-64"), manifest(registry, "size-2")]).splitlines()

    assert rows[2].startswith("| size-64 | fp32 | 64,000 |")
    assert "| 91.5 (91.0 to 92.0) |" in rows[2]
    assert "| -2.00, p = 0.001 |" in rows[3]
    assert len({row.count("|") for row in rows}) == 1


def test_drops_and_gaps_are_columns_once_a_variant_has_them(registry):
    whole, small = manifest(registry, "size-64"), manifest(registry, "size-2")
    stressed = small.model_copy(update={"robustness": robustness(0.1, 0.2)})
    both = stressed.model_copy(update={"group_report": group_report((0.05, 0.3))})

    assert "drop on altered" not in markdown([whole, small])
    head, _, first, second = markdown([whole, stressed]).splitlines()
    assert head.endswith("| build, s | drop on altered texts, points |")
    assert first.endswith("| - |")
    assert second.endswith("| 10.0 (9.0 to 20.0) |")
    head, *_, last = markdown([whole, both]).splitlines()
    assert head.endswith("| drop on altered texts, points | gap between groups, points |")
    assert last.endswith("| 10.0 (9.0 to 20.0) | 5.0 (4.0 to 30.0) |")


@pytest.mark.parametrize(
    ("family", "said"),
    [("tune", "has no family tune: choose from tone"), ("tone", "no evaluated variant")],
)
def test_a_report_of_too_little_says_what_is_missing(tmp_path, family, said):
    write_bundle(tmp_path / "one")
    fields = read_bundle(tmp_path / "one").manifest.model_dump(
        exclude={"version", "bytes", "files", "evaluations"}
    )
    write_manifest(tmp_path / "one", **fields)
    publish(tmp_path / "one", tmp_path / "registry")

    with pytest.raises(RecipeError, match=said):
        run(family, tmp_path / "registry", tmp_path / "output")


def test_a_card_says_what_the_variant_is_what_it_scores_and_how_to_serve_it(registry):
    text = card(manifest(registry, "size-2"))

    assert text.startswith("---\nlibrary_name: onnx\n")
    for said in (
        "# tone/size-2",
        "exactly one of the labels negative, positive",
        "| temperature | 1.700 |",
        "2.0 % (1.5 to 2.5); a calibrated model's would be 1.2 % (0.7 to 1.7); before temperature",
        "| negative | 900 | 100 |",
        "| 3 to 9 | 2000 |",
        "- Worse than size-64: -2.00 points (-3.00 to -1.00), p = 0.001",
        "A loss of less than 1 % of the texts is not shown (at most 1.5",
        "On 2,000 held-out texts, each alone in its batch",
        "may depend on the other texts in a padded batch: 1.0 % (0.5 to 1.5) did",
        "SIZEWISE_REGISTRY=REGISTRY python -m serving",
    ):
        assert said in text


def test_a_card_without_evaluations_says_that_nothing_is_known(tmp_path):
    write_bundle(tmp_path)
    unknown = read_bundle(tmp_path).manifest.model_copy(update={"evaluations": {}})

    assert "This variant has not been evaluated" in card(unknown)


@pytest.mark.parametrize(
    ("difference", "p_value", "said"),
    [
        (-0.02, 0.01, "Worse than big"),
        (0.02, 0.01, "Better than big"),
        (-0.02, 0.2, "No significant"),
    ],
)
def test_a_paired_test_is_said_in_words(difference, p_value, said):
    assert comparison("big", paired(difference, p_value), 5000).startswith(said)


def test_no_significant_difference_is_no_proof_that_nothing_is_lost():
    same = [comparison("big", paired(-0.01, 0.2), texts) for texts in (800, 10_000)]

    assert "A loss of less than 1 % of the texts is not shown (at most 3.89" in same[0]
    assert "A loss of less than 1 % of the texts is shown (at most 0.3" in same[1]
