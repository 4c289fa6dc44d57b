"""Any ONNX classifier of numbers, trained here and asked over V2: an image MLP and a CNN."""

import json
import subprocess
import sys
import warnings

import numpy as np
import onnx
import pytest
import torch

from models.graphs.import_numbers import import_graph
from serving.errors import BundleError
from tests.support.clients import ask
from tests.support.processes import ROOT, free_port, serving

SIDE = 12
LABELS = ("ring", "cross", "bars")


def images(count, seed):
    """Noisy drawings of a ring, a cross or bars, at any place; and which they are."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    kinds = draw.integers(0, len(LABELS), count)
    drawn = []
    for kind in kinds:
        top, left = draw.uniform(4, 8, 2)
        away = np.hypot(y - top, x - left)
        shape = [
            np.abs(away - 3) < 1,
            (np.abs(y - top) < 1) | (np.abs(x - left) < 1),
            np.abs((x - left) % 4 - 2) < 1,
        ][kind]
        drawn.append(shape + draw.normal(0, 0.3, shape.shape))
    return np.array(drawn, np.float32)[:, None], kinds


class Mlp(torch.nn.Sequential):
    def __init__(self):
        super().__init__(
            torch.nn.Flatten(),
            torch.nn.Linear(SIDE * SIDE, 64),
            torch.nn.ReLU(),
            torch.nn.Linear(64, len(LABELS)),
        )


class Cnn(torch.nn.Sequential):
    def __init__(self):
        super().__init__(
            torch.nn.Conv2d(1, 8, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Conv2d(8, 16, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(16, len(LABELS)),
        )


@pytest.fixture(scope="module", params=[Mlp, Cnn], ids=["MLP", "CNN"])
def trained(request, tmp_path_factory):
    """The network, and its graph in a file."""
    torch.manual_seed(0)
    network = request.param()
    pixels, kinds = images(1500, seed=0)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(12):
        for batch in torch.randperm(len(kinds)).split(50):
            optimizer.zero_grad()
            logits = network(torch.from_numpy(pixels[batch]))
            torch.nn.functional.cross_entropy(logits, torch.from_numpy(kinds[batch])).backward()
            optimizer.step()
    path = tmp_path_factory.mktemp("trained") / "graph.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network.eval(), (torch.zeros(2, 1, SIDE, SIDE),), path, dynamo=False,
            input_names=["pixels"], output_names=["logits"],
            dynamic_axes={"pixels": {0: "batch"}, "logits": {0: "batch"}},
        )  # fmt: skip
    return network, path


def test_an_image_classifier_answers_over_v2_as_in_torch(trained, tmp_path):
    network, path = trained
    options = ("--family", "shapes", "--variant", "image", "--labels", ",".join(LABELS))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "models", "import", path, *options),
            *("--registry", tmp_path / "registry"),
        ],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pixels, kinds = images(600, seed=1)
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels)).softmax(1).numpy()
    np.save(tmp_path / "pixels.npy", pixels)

    port = free_port()
    with serving(tmp_path / "registry", grpc_port=port) as server:
        found = [
            ask("rows", transport, address, "shapes", tmp_path / "pixels.npy")
            for transport, address in (
                ("http", server.url.removeprefix("http://")),
                ("grpc", f"127.0.0.1:{port}"),
            )
        ]
        page = server.metrics()
        text = server.classify({"texts": ["a ring"]})

    for answer in found:
        assert np.allclose(answer["probabilities"], expected, atol=1e-4)
        assert answer["labels"] == [LABELS[index] for index in expected.argmax(1)]
    right = np.mean(
        [LABELS[kind] == label for kind, label in zip(kinds, answer["labels"], strict=True)]
    )
    assert right > 0.8, "it has learned something, so that a mix-up would show"
    assert 'sizewise_texts_total{model="shapes",variant="image"} 1200.0' in page
    assert (text.status_code, text.json()["field"]) == (422, "texts[0]")


@pytest.mark.parametrize(
    ("shape", "kind", "labels", "said"),
    [
        ([1, 1, SIDE, SIDE], onnx.TensorProto.FLOAT, LABELS, "dynamic first dimension"),
        (["batch", 1, "height", SIDE], onnx.TensorProto.FLOAT, LABELS, "dynamic first dimension"),
        (["batch", 1, SIDE, SIDE], onnx.TensorProto.STRING, LABELS, "not numbers"),
        (
            ["batch", 1, SIDE, SIDE],
            onnx.TensorProto.FLOAT,
            LABELS[:2],
            "export one logit for each label",
        ),
    ],
)
def test_a_graph_that_cannot_be_served_is_refused(  # noqa: PLR0917
    trained, tmp_path, shape, kind, labels, said
):
    graph = onnx.load(trained[1])
    (pixels,) = (each for each in graph.graph.input if each.name == "pixels")
    pixels.CopyFrom(onnx.helper.make_tensor_value_info("pixels", kind, shape))
    onnx.save(graph, tmp_path / "graph.onnx")

    with pytest.raises(BundleError, match=said):
        import_graph(tmp_path / "graph.onnx", "shapes", "image", tmp_path / "registry", labels)

    assert json.dumps(sorted(map(str, tmp_path.glob("registry/*")))) == "[]"
