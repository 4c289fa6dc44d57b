import json

import pytest

from models.job import Job
from models.recipe import RecipeError, read_recipe
from models.stages import package
from serving.bundles.bundle import read_bundle
from tests.support.bundles import evaluation, write_bundle

RECIPE = """
family = "tone"
[data]
files = ["texts.csv"]
[train]
base = "base"
epochs = 1
learning_rate = 1e-3
max_length = 32
[evaluate]
min_accuracy = {floor}
"""


def on_validation(accuracy, texts, answered):
    """Scores of two labels, of which a share of the thousand `texts` have the first."""
    scores = {
        name: {"precision": 0.5 if name in answered else None, "recall": 0.5, "f1": 0.5, "texts": n}
        for name, n in zip(("good", "bad"), (texts, 1000 - texts), strict=True)
    }
    return evaluation(accuracy).model_dump() | {"labels": scores}


BETTER = on_validation(0.87, 500, ("good", "bad"))


def job(folder, floor, validation=BETTER, keys=""):
    recipe_path = folder / "tiny.toml"
    recipe_path.write_text(RECIPE.format(floor=floor) + keys)
    write_bundle(folder / "made")
    (folder / "scored").mkdir()
    splits = {"test": evaluation(0.87).model_dump(), "validation": validation}
    scored = {"temperature": 1.5, "splits": splits}
    (folder / "scored" / "evaluations.json").write_text(json.dumps(scored))
    (folder / "done").mkdir()
    inputs = {"bundle": folder / "made", "evaluation": folder / "scored"}
    return Job((read_recipe(recipe_path),), inputs, folder / "done", {"train": 12.0})


def test_a_packaged_bundle_has_its_scores_temperature_times_recipe_and_card(tmp_path):
    package.run(job(tmp_path, 0.87))

    manifest = read_bundle(tmp_path / "done").manifest
    assert manifest.evaluations["test"].accuracy.value == 0.87
    assert manifest.temperature == 1.5
    assert manifest.build_seconds == {"train": 12.0}
    assert manifest.recipe["train"]["epochs"] == 1
    assert "README.md" in manifest.files
    assert f"`{manifest.version}`" in (tmp_path / "done" / "README.md").read_text()


def test_a_variant_below_the_floor_is_not_packaged_and_the_message_says_by_how_much(tmp_path):
    with pytest.raises(RecipeError, match=r"tiny: accuracy 0\.8700 .* is 0\.0100 below"):
        package.run(job(tmp_path, 0.88))


def test_a_variant_that_is_no_better_than_the_majority_is_not_packaged_unless_it_is_allowed(
    tmp_path,
):
    """Three runs ended in the majority's class and were published without a word."""
    only_good = on_validation(0.6, 600, ("good",))
    with pytest.raises(
        RecipeError, match=r"0\.6000 .* to answer 'good', 0\.6000: it answers 'good' to every text:"
    ):
        package.run(job(tmp_path, 0.0, only_good))

    (tmp_path / "allowed").mkdir()
    package.run(job(tmp_path / "allowed", 0.0, only_good, "allow_below_majority = true"))

    assert read_bundle(tmp_path / "allowed" / "done").manifest.temperature == 1.5


def test_one_that_answers_both_labels_and_is_worse_is_refused_too(tmp_path):
    with pytest.raises(RecipeError, match=r"'bad', 0\.7000: train longer"):
        package.run(job(tmp_path, 0.0, on_validation(0.69, 300, ("good", "bad"))))
