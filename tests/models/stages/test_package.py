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


def job(folder, floor):
    recipe_path = folder / "tiny.toml"
    recipe_path.write_text(RECIPE.format(floor=floor))
    write_bundle(folder / "made")
    (folder / "scored").mkdir()
    scored = {"temperature": 1.5, "splits": {"test": evaluation(0.87).model_dump()}}
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
