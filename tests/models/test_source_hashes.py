"""Which stages a changed module makes stale: those that run it, and no others."""

import pytest

from models.recipe import STAGES
from models.source_hashes import ROOT, source_hashes
from tests.support.sources import copy_sources

DISTILLING = {"distill", "prune", "sparsify"}
TRAINING = {"train", "static"} | DISTILLING
ANSWERING = {"quantize", "evaluate"}
EVERY = set(STAGES)
# Module -> the stages that run it, directly or through others; a model may label the data.
STALE = {
    "models.data.readers": {"data", "package"},
    "models.data.labelled": EVERY,
    "models.training.loop": TRAINING | {"data", "export"},
    "models.training.encodings": TRAINING | {"data", "inspect", "export", "quantize"},
    "models.training.architecture": DISTILLING | {"data", "inspect", "train", "adopt", "export"},
    "models.training.pretrained": {"data", "train", "adopt", "distill"},
    "models.training.knowledge_distillation": {"data", "static"} | DISTILLING,
    "models.training.static_classifier": {"static", "export"},
    "models.training.augmentation": {"distill", "static"},
    "models.perturbations.kinds": {"distill", "static", "package"},
    "models.training.vocabulary": {"inspect", "train", "distill", "static"},
    "models.graphs.packing": {"export"},
    "models.graphs.quantizers": {"quantize"},
    "models.graphs.import_bundle": set(),
    "models.evaluation.predictions": {"static", "package"} | ANSWERING,
    "models.evaluation.baselines": {"inspect"},
    "models.evaluation.figures": {"evaluate", "package"},
    "models.evaluation.inspection": {"inspect", "evaluate"},
    "models.evaluation.results": {"evaluate", "package"},
    "models.reports.model_card": {"package"},
    "models.cascade.build": set(),
    "models.stages.prune": {"prune"},
    "serving.inference.ort_engine": ANSWERING | {"static", "export", "package"},
    "serving.inference.openvino_engine": ANSWERING | {"static", "package"},
    "serving.inference.tokenizer": TRAINING
    | ANSWERING
    | {"data", "inspect", "adopt", "export", "package"},
    "serving.server.app": set(),
}


@pytest.fixture
def copied(tmp_path):
    return copy_sources(tmp_path)


def hashes(root):
    return {stage: source_hashes(f"models.stages.{stage}", root) for stage in STAGES}


@pytest.mark.parametrize("module", STALE)
def test_a_changed_module_makes_exactly_the_stages_stale_that_run_it(copied, module):
    before = hashes(copied)
    path = copied.joinpath(*module.split(".")).with_suffix(".py")

    path.write_text(path.read_text() + "\nADDED = 1\n")

    after = hashes(copied)
    assert {stage for stage in STAGES if before[stage] != after[stage]} == STALE[module]


def test_comments_docstrings_and_layout_make_nothing_stale(copied):
    before = hashes(copied)
    path = copied / "models" / "data" / "section.py"
    source = path.read_text()
    for old, new in (
        ('"""The section', '"""This section'),
        ('"""Column of the text."""', '"""The texts\' column."""'),
        ("single = self", '# A comment.\n        "A docstring."\n\n        single = self'),
    ):
        assert source.count(old) == 1
        source = source.replace(old, new)

    path.write_text(source + "\n\n# The end.\n")

    assert hashes(copied) == before


def test_a_module_that_a_function_imports_counts_too():
    assert "models.training.pretrained" in source_hashes("models.stages.data")


def test_a_stage_runs_its_own_module_and_no_other_stage():
    for stage, modules in hashes(ROOT).items():
        stages = {name for name in modules if name.startswith("models.stages.")}

        assert stages == {f"models.stages.{stage}"}
