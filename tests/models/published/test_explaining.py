"""`python -m models explain`: a bag of words explains itself, and variants that differ disagree."""

import csv
import errno
import json
import os
import shutil

import pytest

from models.__main__ import main
from models.graphs.number_formats import copy_inputs, finish
from models.published.publishing import publish_made, publish_measured
from models.signing import sign
from serving.bundles import registry as registries
from serving.bundles.bundle import read_bundle, verify
from serving.bundles.registry import publish
from serving.bundles.signatures import SIGNATURE_NAME
from tests.support.bundles import alter, write_bundle, write_tensor_bundle
from tests.support.exported_folders import export_folder
from tests.support.signed import new_keys

TEXTS = ["good bad film plot awful", "great film", "plot awful good", "film", "a great bad plot"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    home = tmp_path_factory.mktemp("explained")
    # The small one reads only the first two words.
    for variant, accuracy, max_length in (("large", 0.95, 32), ("small", 0.8, 4)):
        folder = home / variant
        write_bundle(folder, variant=variant, accuracy=accuracy, max_length=max_length)
        publish(folder, home / "registry")
    write_bundle(home / "pairs", family="pairs", pairs=True)
    publish(home / "pairs", home / "registry")
    write_tensor_bundle(home / "digits")
    publish(home / "digits", home / "registry")
    return home / "registry"


@pytest.fixture
def registry(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "registry")


def card_of(bundle):
    verify(bundle)
    return bundle.path("README.md").read_text()


def run(registry, folder, target, *options, texts=TEXTS):
    with (folder / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
    where = ("--data", folder / "texts.csv", "--registry", registry, "--output", folder / "out")
    return main([str(each) for each in ("explain", target, *where, *options)])


@pytest.mark.parametrize("method", ["occlusion", "shapley"])
def test_a_family_is_measured_into_a_table_json_and_a_plot(registry, tmp_path, capsys, method):
    assert run(registry, tmp_path, "tone", "--method", method, "--budget", "40") == 0

    said = capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "tone" / "explanations.json").read_text())
    large, small = found["variants"]["large"], found["variants"]["small"]
    assert (small["reference"], small["method"], small["n"]) == ("large", method, 4)
    assert large["deletion"]["low"] > 0
    assert large["insertion"]["low"] > 0
    assert large["rank_correlation"] is None
    assert small["rank_correlation"]["value"] < 1
    assert 0 < small["top_overlap"]["value"] <= 1
    assert f"{large['deletion']['value']:.3f}" in said
    assert (tmp_path / "out" / "tone" / "explanations.png").read_bytes()[:4] == b"\x89PNG"


def test_one_variant_is_compared_with_the_most_accurate_on_as_many_texts_as_wanted(
    registry, tmp_path
):
    assert run(registry, tmp_path, "tone/small", "--texts", "2") == 0

    found = json.loads((tmp_path / "out" / "tone" / "explanations.json").read_text())
    assert list(found["variants"]) == ["small"]
    small = found["variants"]["small"]
    assert (small["reference"], small["n"]) == ("large", 2)
    assert small["rank_correlation"] is not None
    assert "## Explanations" in card_of(read_bundle(registry / "tone" / "small"))
    assert "README.md" not in read_bundle(registry / "tone" / "large").manifest.files


def test_the_card_has_the_curves_of_the_version_that_stays_and_has_them_once(registry, tmp_path):
    folder = registry / "tone" / "small"
    version = read_bundle(folder).manifest.version
    written = []
    for options in (("--texts", "2"), (), ()):
        assert run(registry, tmp_path, "tone", *options) == 0
        written.append((folder / "manifest.json").stat().st_mtime_ns)
    manifest, card = read_bundle(folder).manifest, card_of(read_bundle(folder))

    # What does not change is not written.
    assert written[0] != written[1] == written[2]
    assert manifest.version == version
    assert not (registry / "tone" / "small@previous").exists()
    assert card.count("## Explanations") == 1
    assert "explain tone --data FILE --method shapley --budget 200 --texts 4" in card
    points = manifest.explanations.curves
    assert [point.words for point in points] == [0, 0.1, 0.25, 0.5, 0.75, 1]
    assert points[0].deletion == points[0].random_deletion == points[-1].insertion
    assert points[3].deletion.value < points[3].random_deletion.value
    assert points[3].insertion.value > points[3].random_insertion.value
    for share, point in zip((0, 10, 25, 50, 75, 100), points, strict=True):
        assert f"| {share} % | {point.deletion.value:.3f} ({point.deletion.low:.3f} to " in card
    correlation = manifest.explanations.rank_correlation.value
    assert f"rank correlation with large | {correlation:.3f}" in card


def test_what_is_made_again_keeps_the_figures_of_its_version_alone(registry, tmp_path):
    assert run(registry, tmp_path, "tone/small") == 0
    measured = read_bundle(registry / "tone" / "small").manifest.explanations
    same, other = tmp_path / "same", tmp_path / "other"
    (tmp_path / "made").mkdir()
    write_bundle(same, variant="small", accuracy=0.81, max_length=4)
    write_bundle(other, variant="small", accuracy=0.81, max_length=5)

    kept = publish_made(same, registry)
    assert kept.manifest.explanations == measured
    assert kept.manifest.judged.accuracy.value == 0.81
    assert "## Explanations" in card_of(kept)
    assert publish_made(other, registry).manifest.explanations is None

    copy_inputs(kept, tmp_path / "made")
    shutil.copyfile(kept.model_path, tmp_path / "made" / "model.onnx")
    assert finish("fp16", kept, "small-fp16", "small", tmp_path / "made").explanations is None


def test_a_card_goes_on_saying_that_a_model_was_adopted(registry, tmp_path):
    """A variant's own recipe does not say so if it was made from an adopted one."""
    large = read_bundle(registry / "tone" / "large")
    adopted = publish_measured(large, {}, registry)
    made = alter(adopted.folder, tmp_path / "made", recipe={"quantize": {"scheme": "int8-dynamic"}})
    publish(made, registry)
    assert "fine-tuned elsewhere" in card_of(adopted)

    assert run(registry, tmp_path, "tone/large") == 0
    card = card_of(read_bundle(registry / "tone" / "large"))
    assert "fine-tuned elsewhere" in card
    assert "held-out" not in card


def test_a_signature_that_is_lost_is_told_once(registry, tmp_path, capsys):
    key, _ = new_keys(tmp_path, "release")
    sign(registry / "tone", key)
    lost = "small has lost its signature: sign it with `python -m models sign`"

    assert run(registry, tmp_path, "tone/small") == 0
    assert lost in capsys.readouterr().out
    assert not (registry / "tone" / "small" / SIGNATURE_NAME).exists()
    assert (registry / "tone" / "large" / SIGNATURE_NAME).exists()

    sign(registry / "tone", key)
    assert run(registry, tmp_path, "tone/small") == 0
    assert lost not in capsys.readouterr().out
    assert (registry / "tone" / "small" / SIGNATURE_NAME).exists()


def test_a_registry_that_cannot_be_written_is_a_sentence_after_the_report(
    registry, tmp_path, capsys, monkeypatch
):
    def refuse(path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(registries, "create_beside", refuse)

    assert run(registry, tmp_path, "tone/small") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "tone/small stays as it was, since it cannot be written: " in said
    assert "Read-only file system" in said
    assert (tmp_path / "out" / "tone" / "explanations.json").exists()
    assert read_bundle(registry / "tone" / "small").manifest.explanations is None


@pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves
def test_a_model_that_is_served_as_it_is_gets_a_report_and_no_file(tmp_path, capsys):
    export_folder(tmp_path / "exported")
    before = sorted((tmp_path / "exported").iterdir())

    assert run(tmp_path / "exported", tmp_path, "exported", "--texts", "1") == 2
    assert "is served as it is" in capsys.readouterr().err.splitlines()[-1]
    assert (tmp_path / "out" / "exported" / "explanations.json").exists()
    assert sorted((tmp_path / "exported").iterdir()) == before


@pytest.mark.parametrize(
    ("target", "texts", "said"),
    [
        ("tone", ["film"], "no text of two words"),
        ("pairs", TEXTS, "reads pairs"),
        ("digits", TEXTS, "reads tensors"),
        ("mood", TEXTS, "has no family 'mood'"),
        ("tone/huge", TEXTS, "has no variant 'huge'"),
    ],
)
def test_what_cannot_be_explained_is_refused_in_a_sentence(
    registry, tmp_path, capsys, *, target, texts, said
):
    assert run(registry, tmp_path, target, texts=texts) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--budget", "1"), ("--budget", "2001"), ("--texts", "0")])
def test_numbers_out_of_range_are_refused_by_name(registry, tmp_path, capsys, option):
    with pytest.raises(SystemExit):
        run(registry, tmp_path, "tone", *option)

    assert f"argument {option[0]}: '{option[1]}' is no number from" in capsys.readouterr().err
