"""The key `normalize` of every stage that decides on a tokenizer, and what inherits it."""

import json

import pytest

from models.evaluation.predictions import Predictor
from models.pipeline import Pipeline
from models.recipe import lineage
from models.runners import RUNNERS
from serving.bundles.bundle import read_bundle
from serving.bundles.normalization import kinds_of
from tests.support.tiny_architectures import write_classifier
from tests.support.tiny_recipes import TEACHER

ALL = ("invisible", "nfkc", "confusables")
NORMALIZE = 'normalize = ["confusables", "invisible", "nfkc"]\n'
STATIC = "[static]\nvocabulary_words = 105\nepochs = 1\nlearning_rate = 1e-2\n"
DISTILL = """
[distill]
layers = [0]
epochs = 1
learning_rate = 5e-3
temperature = 2.0
hidden_weight = 0
label_weight = 0.3
"""
ADOPT = """
family = "own"
[data]
files = ["days.jsonl"]
label = "mood"
[adopt]
folder = "classifier"
max_length = 32
"""
QUANTIZE = "[quantize]\nmax_accuracy_drop = 0.9\n"

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries deprecate in themselves


def kinds_in(folder):
    return kinds_of(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def normalised(tone):
    """A distilled student that normalises; its teacher does not."""
    tone.make("normalised", DISTILL + "vocabulary_words = 105\n" + NORMALIZE, ["distill", "export"])
    return tone


def test_a_student_normalises_what_its_teacher_does_not(normalised):
    bundle = read_bundle(normalised.folder("normalised", "export"))

    assert kinds_in(normalised.teacher) == ()
    assert kinds_in(bundle.folder) == ALL
    assert bundle.manifest.normalize == list(ALL)
    disguised = ["the film w\u0430s d\u200bull", "the \uff43amera w\u0430s sup\u0435rb"]
    logits = Predictor(bundle).logits([*disguised, "the film was dull", "the camera was superb"], 1)
    assert (logits[:2] == logits[2:]).all()
    assert (logits[0] != logits[1]).any()


@pytest.mark.parametrize(
    ("section", "kinds"),
    [
        (STATIC, ALL),
        (STATIC + 'vocabulary = "learnt"\n', ALL),
        (STATIC + "normalize = []\n", ()),
        (STATIC + 'vocabulary = "learnt"\nnormalize = ["nfkc"]\n', ("nfkc",)),
        (DISTILL, ALL),
        (DISTILL + "vocabulary_words = 100\nnormalize = []\n", ()),
        (DISTILL + 'base = "fetched:base"\n', ALL),
        (DISTILL + 'base = "fetched:base"\nnormalize = ["invisible"]\n', ("invisible",)),
        ("[prune]\nkeep_intermediate = 0.5\nepochs = 1\nlearning_rate = 1e-3\n", ALL),
    ],
)
def test_what_is_made_of_it_inherits_that_unless_it_says_otherwise(normalised, section, kinds):
    (_, stage) = section.split("[", 1)
    name = stage.partition("]")[0]

    folder = normalised.make("made", section, [name], parent="normalised")

    assert kinds_in(folder) == kinds


def test_a_quantised_graph_keeps_the_key(normalised):
    folder = normalised.make("int8", QUANTIZE, ["quantize"], parent="normalised")

    assert read_bundle(folder).manifest.normalize == list(ALL)
    assert kinds_in(folder) == ALL


def made_by(recipe, folder, downloads, stage):
    (folder / "teacher.toml").write_text(recipe)
    pipeline = Pipeline(folder / "build", downloads, RUNNERS)
    ancestors = tuple(lineage(folder / "teacher.toml"))
    for each in ("data", stage):
        pipeline.make(ancestors, each)
    return pipeline.folder(ancestors[-1], stage)


def test_a_base_is_fine_tuned_on_normalised_texts(tone, tmp_path):
    recipe = TEACHER.replace("epochs = 12\n", "epochs = 1\n" + NORMALIZE)

    folder = made_by(recipe, tmp_path, tone.pipeline.downloads, "train")

    assert kinds_in(folder) == ALL


def test_an_adopted_classifier_can_have_texts_normalised(tmp_path):
    labels = ("warm", "cold")
    write_classifier(tmp_path / "classifier", "bert", labels)
    rows = [{"text": f"the film {n} was dull", "mood": labels[n % 2]} for n in range(60)]
    (tmp_path / "days.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    folder = made_by(ADOPT + NORMALIZE, tmp_path, tmp_path, "adopt")

    assert kinds_in(folder) == ALL
