"""`python -m models explain`: a bag of words explains itself, and variants that differ disagree."""

import csv
import json

import pytest

from models.__main__ import main
from serving.bundles.registry import publish
from tests.support.bundles import write_bundle, write_tensor_bundle

TEXTS = ["good bad film plot awful", "great film", "plot awful good", "film", "a great bad plot"]


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
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
    large, small = found["variants"]
    assert (found["reference"], found["method"], found["texts"]) == ("large", method, 4)
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
    assert [each["variant"] for each in found["variants"]] == ["small"]
    assert (found["reference"], found["texts"]) == ("large", 2)
    assert found["variants"][0]["rank_correlation"] is not None


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
