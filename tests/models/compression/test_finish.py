"""What ends a run of which nothing is left, and a cascade that is there already."""

from pathlib import Path

import pytest

from models.cascade.looks import LOOKS_NAME, Look, log
from models.compression.finish import finish, make_cascade
from models.compression.plan import LeftOut, Plan
from models.compression.runner import Run
from models.compression.wanted import Wanted
from models.recipe import RecipeError
from serving.bundles.cascade import Target
from tests.support.bundles import write_bundle


def wanted(registry):
    here = Path(__file__)
    return Wanted("source", (here,), "tone", here, registry, max_drop=0.02)


def test_nothing_published_is_said_with_the_reasons_though_there_is_no_registry_yet(tmp_path):
    run = Run(Plan((), (), ()), tmp_path, None, None, 60.0)
    run.refused.append(LeftOut("teacher-fp32", "it is no better than a bag of words"))

    with pytest.raises(RecipeError, match=r"published: teacher-fp32: it is no better than a bag"):
        finish(wanted(tmp_path / "none"), "teacher-fp32", ["a text"], tmp_path, run)


def test_a_cascade_that_was_looked_for_is_not_looked_for_again(tmp_path, capsys):
    made = [write_bundle(tmp_path / f"tone/{name}", variant=name, scale=scale)
            for name, scale in (("large", 1.0), ("small", 0.5))]  # fmt: skip
    options = wanted(tmp_path)
    versions = [f"{each.variant} {each.version}" for each in made]
    target = Target(loss="accuracy", max_loss=options.max_drop, confidence=0.95)
    log(Look("choose", target, versions, versions[0], {}, "0", "1", "2"), tmp_path / "tone")
    before = (tmp_path / "tone" / LOOKS_NAME).read_text()

    assert not make_cascade(options, tmp_path / "build", tmp_path)

    assert (tmp_path / "tone" / LOOKS_NAME).read_text() == before
    assert "No cascade: one of these variants was looked for before" in capsys.readouterr().out
