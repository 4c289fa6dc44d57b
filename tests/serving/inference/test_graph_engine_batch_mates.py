"""How far the other texts of a batch move a score, as tests.benchmarks.batch_mates counts it."""

import numpy as np
import pytest

from serving.bundles.bundle import Manifest, read_bundle
from serving.inference.engine import Resources
from serving.inference.openvino_engine import OpenVinoEngine
from serving.inference.ort_engine import OrtEngine
from tests.benchmarks.batch_mates import moved
from tests.support.bundles import encoded
from tests.support.odd_graphs import write_odd_bundle

BATCH = encoded([4, 8], [9, 9, 9, 9], [5], [6, 8, 8, 8, 8], [4, 5, 8], [7, 7, 4, 8, 9])


class Shifted:
    """An engine whose logits are the text's id, moved by a tenth for each other text."""

    def run(self, batch):
        values = np.array([[0.0, item.ids[0]] for item in batch])
        return values + np.array([0.0, 0.1 * (len(batch) - 1)])


@pytest.mark.parametrize("kind", ["regression", "single_label", "multi_label"])
def test_it_counts_the_moves_and_the_labels_that_changed(kind):
    manifest = Manifest.model_construct(
        labels=["no", "yes"], problem_type=kind, temperature=1.0, graph_output="logits", files={}
    )
    items = encoded([2], [0.5], [-3], [-0.01])

    found = moved(Shifted(), manifest, items, mates=3, rounds=2)

    assert found.moves.shape == (2, 4)
    if kind == "regression":
        np.testing.assert_allclose(found.moves, 0.3, atol=1e-12)
    assert found.changed.tolist() == [False, False, False, True]
    if kind == "regression":
        assert found.furthest_margin == pytest.approx(0.005)
    else:
        assert found.furthest_margin < 0.01


@pytest.mark.parametrize("engine", [OrtEngine, OpenVinoEngine])
def test_a_graph_of_floats_does_not_move(tmp_path, engine):
    write_odd_bundle(tmp_path)
    bundle = read_bundle(tmp_path)
    loaded = engine(bundle, Resources("cpu", threads=1))

    found = moved(loaded, bundle.manifest, BATCH, mates=3, rounds=4)

    assert found.moves.max() < 1e-6
    assert not found.changed.any()
