"""Graphs as exporters write them, each held to transformers on both engines, or refused."""

import shutil

import onnx
import pytest
import torch

from serving.errors import BundleError
from serving.inference.engine_selection import ENGINES
from tests.conformance.exporting import export
from tests.conformance.judging import EQUAL, judge
from tests.conformance.quiet import quietly
from tests.conformance.reference import Reference
from tests.conformance.rows import imported

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves

KINDS = ("single", "cut", "batch")


@pytest.fixture
def same(loaded, tmp_path):
    """Imports a folder and holds it to transformers on each engine; returns the manifest."""

    def _same(folder, *flags):
        with quietly():
            ours = imported(folder, tmp_path / "registry", "variant", *flags)
            theirs = loaded(folder)
            reference = Reference(theirs.model, theirs.tokenizer)
            found = {name: judge(ours, name, reference, KINDS) for name in ENGINES}
        assert found == dict.fromkeys(ENGINES, dict.fromkeys(KINDS, EQUAL))
        return ours.manifest

    return _same


@pytest.fixture
def altered(copy_of, loaded):
    """A folder whose graph is exported in another way."""

    def _altered(architecture="bert", **changes):
        folder = copy_of(architecture)
        (folder / "model.onnx").unlink()
        theirs = loaded(folder)
        with quietly():
            export(theirs.model, theirs.tokenizer, folder / "model.onnx", **changes)
        return folder

    return _altered


def softmax(output):
    return torch.softmax(output.logits, -1)


def sigmoid(output):
    return torch.sigmoid(output.logits)


def test_a_softmax_inside_the_graph_is_not_applied_twice(altered, same):
    manifest = same(altered(answer=softmax, outputs=("probabilities",)))

    assert manifest.graph_output == "probabilities"


def test_a_sigmoid_inside_the_graph_is_not_applied_twice(altered, same):
    folder = altered(answer=sigmoid)
    config = (folder / "config.json").read_text()
    kind = '"problem_type": "multi_label_classification",\n  "model_type"'
    (folder / "config.json").write_text(config.replace('"model_type"', kind, 1))

    assert same(folder).graph_output == "probabilities"


def test_inputs_of_int32_are_given_as_such(altered, same):
    same(altered(kind=torch.int32))


@pytest.mark.parametrize("fixed", [("batch",), ("tokens",), ("batch", "tokens")])
def test_fixed_axes_are_filled_up(altered, same, fixed):
    same(altered(fixed=fixed))


def test_a_graph_that_takes_positions_is_given_them(altered, same):
    same(altered(positions=True))


def test_the_logits_are_found_among_several_outputs(altered, same):
    same(altered(answer=lambda found: (found.logits * 2, found.logits), outputs=("x", "logits")))


def test_weights_in_files_beside_the_graph_are_taken_along(copy_of, same):
    folder = copy_of("bert")
    graph = onnx.load(folder / "model.onnx")
    (folder / "model.onnx").unlink()
    onnx.save(
        graph,
        folder / "model.onnx",
        save_as_external_data=True,
        location="weights",
        size_threshold=0,
    )

    same(folder)


@pytest.mark.parametrize("name", ["model_quantized.onnx", "onnx/model_int8.onnx"])
def test_a_graph_of_another_name_is_found_if_it_is_the_only_one(copy_of, same, name):
    folder = copy_of("bert")
    (folder / "onnx").mkdir()
    shutil.move(folder / "model.onnx", folder / name)

    same(folder)


def test_one_of_several_graphs_must_be_named(altered, tmp_path):
    folder = altered(answer=lambda output: output.logits * 2)
    shutil.move(folder / "model.onnx", folder / "model_twice.onnx")
    shutil.copyfile(folder / "model_twice.onnx", folder / "model_other.onnx")

    with pytest.raises(BundleError, match="--graph"):
        imported(folder, tmp_path / "registry", "variant")


def test_the_named_graph_is_the_one_that_is_imported(copy_of, same):
    folder = copy_of("bert")
    (folder / "onnx").mkdir()
    shutil.move(folder / "model.onnx", folder / "onnx" / "model_good.onnx")
    (folder / "onnx" / "model_bad.onnx").write_bytes(b"no graph")

    same(folder, "--graph", "model_good.onnx")
