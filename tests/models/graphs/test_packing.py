import onnx
import openvino
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.graphs.fusion import fuse
from models.graphs.packing import PACKABLE
from models.graphs.trace import trace
from models.training.architecture import load_classifier
from models.training.loop import padded
from serving.bundles.bundle import Bundle, Manifest
from serving.inference.engine import Resources
from serving.inference.openvino_engine import OpenVinoEngine
from serving.inference.ort_engine import OrtEngine
from tests.support.bundles import encoded
from tests.support.tiny_architectures import ARCHITECTURES, write_classifier

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves
LABELS = ["dull", "fair", "fine"]
MANIFEST = Manifest.model_construct(
    labels=LABELS, pad_token_id=1, problem_type="single_label", files={}
)
# Ids of words: the tiny tokenizers' special ones come first.
TEXTS = st.lists(st.lists(st.integers(4, 20), min_size=1, max_size=60), min_size=1, max_size=12)


@pytest.fixture(scope="module", params=[name for name in ARCHITECTURES if name in PACKABLE])
def packed(request, tmp_path_factory):
    """A model and its packed graph as a bundle that no file describes."""
    folder = tmp_path_factory.mktemp(request.param)
    weights = write_classifier(folder / "weights", request.param, tuple(LABELS))
    model = load_classifier(weights, attn_implementation="eager").eval()
    trace(model, folder / "plain.onnx")
    fuse(folder / "plain.onnx", model.config, folder / "model.onnx")
    return model, Bundle(folder, MANIFEST)


@pytest.mark.parametrize("shared_rows", [True, False])
@pytest.mark.parametrize("make", [OrtEngine, OpenVinoEngine])
def test_texts_of_a_batch_are_answered_as_torch_answers_each_alone(packed, make, shared_rows):
    model, bundle = packed
    engine = make(bundle, Resources("cpu", threads=1))
    assert engine.packed
    if not shared_rows:
        engine = engine.unpacked()
        assert not engine.packed
    # OpenVINO computes in bf16 where the processor does.
    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    tolerance = 0.05 if make is OpenVinoEngine and "BF16" in able else 2e-5

    @settings(max_examples=25)
    @given(TEXTS)
    def alike(texts):
        logits = torch.from_numpy(engine.run(encoded(*texts)))
        with torch.inference_mode():
            alone = [model(**padded([ids])).logits[0] for ids in texts]
        torch.testing.assert_close(logits, torch.stack(alone), atol=tolerance, rtol=tolerance)

    alike()


def test_the_graph_reads_no_mask_of_padding(packed):
    _, bundle = packed
    names = [node.name for node in onnx.load(bundle.model_path).graph.input]

    assert sorted(names) == ["first_tokens", "input_ids", "position_ids", "text_ids"]
