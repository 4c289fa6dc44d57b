"""Adopts and exports a classifier by the stages of models/, without the ones that judge it."""

import json
from unittest import mock

from models.job import Job
from models.recipe import lineage
from models.stages import adopt, data, export
from serving.bundles.bundle import read_bundle
from tests.conformance.architectures import LABELS
from tests.conformance.inputs import CUT, SINGLE
from tests.conformance.tokenizers_of import MAX_TOKENS

_RECIPE = """
family = "conformance"
[data]
files = ["texts.jsonl"]
label = "label"
test_share = 0.3
validation_share = 0.3
calibration_share = 0.2
[adopt]
folder = "{folder}"
max_length = {max_length}
"""


def adopted(classifier, folder):
    """The bundle that `adopt` and `export` make of a classifier's folder.

    Raises RecipeError or BundleError where they refuse.
    """
    recipe = folder / "adopted.toml"
    recipe.write_text(_RECIPE.format(folder=classifier, max_length=MAX_TOKENS))
    rows = [
        {"text": f"{text} {number}", "label": LABELS[number % len(LABELS)]}
        for number, text in enumerate((SINGLE + CUT) * 5)
    ]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ancestors = tuple(lineage(recipe))
    inputs = {"downloads": folder}
    # More threads of PyTorch than one wait for each other beside another test's.
    with mock.patch.object(export, "usable_cores", return_value=1):
        for name, stage in (("data", data), ("weights", adopt), ("bundle", export)):
            (folder / name).mkdir()
            stage.run(Job(ancestors, inputs, folder / name, {}))
            inputs[name] = folder / name
    return read_bundle(folder / "bundle")
