import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from tokenizers import Tokenizer

from models.graphs.fusion import fuse
from models.graphs.number_formats import write_format
from models.graphs.trace import trace
from models.training.architecture import load_classifier
from serving.bundles.bundle import Bundle, read_bundle, write_manifest
from serving.inference.engine import Resources
from serving.inference.ort_engine import OrtEngine
from tests.support.bundles import encoded
from tests.support.tiny_architectures import write_classifier

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves
TEXTS = [[4, 5, 6, 7, 8, 9, 10], [11, 4, 12], [6] * 20, [9, 8, 7, 6, 5]]


@pytest.fixture(scope="module")
def mpnet(tmp_path_factory):
    """A bundle whose answers are as much of the distances of words as of the words."""
    folder = tmp_path_factory.mktemp("mpnet")
    weights = write_classifier(folder / "weights", "mpnet", ("bad", "good"))
    model = load_classifier(weights, attn_implementation="eager").eval()
    with torch.no_grad():
        model.mpnet.encoder.relative_attention_bias.weight.normal_(std=4)
    trace(model, folder / "plain.onnx")
    bundle = folder / "bundle"
    bundle.mkdir()
    fuse(folder / "plain.onnx", model.config, bundle / "model.onnx")
    for name in ("config.json", "tokenizer.json"):
        (bundle / name).write_bytes((weights / name).read_bytes())
    write_manifest(
        bundle, family="tone", variant="base", labels=["bad", "good"], max_length=64,
        problem_type="single_label", pad_token_id=1, precision="fp32", parameters=1, parent=None,
    )  # fmt: skip
    return read_bundle(bundle)


def logits(bundle):
    return OrtEngine(bundle, Resources("cpu", threads=1)).run(encoded(*TEXTS))


@pytest.fixture(scope="module")
def without(mpnet, tmp_path_factory):
    """The same bundle, to which the distances of words are nothing."""
    folder = tmp_path_factory.mktemp("without")
    graph = onnx.load(mpnet.model_path)
    for tensor in graph.graph.initializer:
        if tensor.name.endswith(".table"):
            tensor.CopyFrom(numpy_helper.from_array(0 * numpy_helper.to_array(tensor), tensor.name))
    onnx.save(graph, folder / "model.onnx")
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_bytes(mpnet.path(name).read_bytes())
    return Bundle(folder, mpnet.manifest)


@pytest.mark.parametrize("scheme", ["int8-dynamic", "int8-static", "int4", "fp16"])
def test_distances_of_words_count_in_every_number_format(mpnet, without, tmp_path, scheme):
    whole = Tokenizer.from_file(str(mpnet.tokenizer_path))
    texts = [" ".join(map(whole.id_to_token, ids)) for ids in TEXTS]
    formats = []
    for name, parent in (("with", mpnet), ("without", without)):
        (tmp_path / name).mkdir()
        formats.append(write_format(scheme, parent, "small", tmp_path / name, texts))

    found = np.subtract(*map(logits, formats))

    wanted = logits(mpnet) - logits(without)
    assert np.abs(wanted).max() > 0.5
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.5
