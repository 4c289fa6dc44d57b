"""Static classifiers in the real server: alone, on both engines, and ahead of their teacher."""

import pytest

from models.pipeline import Pipeline
from models.recipe import in_parent_order, lineage
from models.runners import RUNNERS
from serving.bundles.bundle import read_bundle
from serving.bundles.registry import publish
from tests.support.cascades import write_cascade
from tests.support.chinese_recipes import write_chinese
from tests.support.processes import serving

STATIC = """
[static]
vocabulary_words = 105
epochs = 6
learning_rate = 1e-2
batch_texts = 16
"""

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


@pytest.fixture(scope="module")
def chinese(tmp_path_factory):
    """A registry with static-fp32 and static-int8."""
    scratch = tmp_path_factory.mktemp("chinese")
    pipeline = Pipeline(scratch / "build", scratch, RUNNERS)
    for path in in_parent_order(write_chinese(scratch / "recipes")):
        ancestors = tuple(lineage(path))
        for stage in ancestors[-1].stages:
            pipeline.make(ancestors, stage)
        publish(pipeline.folder(ancestors[-1], "package"), scratch / "registry")
    return scratch / "registry"


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "auto"])
def test_chinese_is_answered_in_a_script_that_no_base_model_here_knows(chinese, engine):
    texts = ["这电影很好", "这电影不好", "这手机一直不慢", "这剧情真的很丑"]

    with serving(chinese, engine=engine) as server:
        answers = [
            server.classify({"texts": texts, "variant": variant}).json()["results"]
            for variant in ("static-fp32", "static-int8")
        ]

    for results in answers:
        assert [result["label"] for result in results] == ["positive", "negative"] * 2


def test_it_answers_what_it_is_sure_of_ahead_of_its_teacher(tone, tmp_path):
    tone.make("static", STATIC, ["static", "export"])
    versions = {}
    for variant in ("static", "teacher-fp32"):
        folder = tone.folder(variant, "export")
        publish(folder, tmp_path / "registry")
        versions[variant] = read_bundle(folder).manifest.version
    write_cascade(tmp_path / "registry", versions, threshold=0.87)
    texts = ["the plot was superb, a warm film.", "zzz", "a dull and tedious plot"]

    with serving(tmp_path / "registry") as server:
        results = server.classify({"texts": texts, "variant": "auto"}).json()["results"]

    assert results[0]["label"] == "positive"
    assert results[2]["label"] == "negative"
    assert {result["variant"] for result in results} == {"static", "teacher-fp32"}
