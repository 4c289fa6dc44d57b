"""What ends a run of which nothing is left, and a cascade that is there already."""

from pathlib import Path

import pytest

from models.cascade.looks import LOOKS_NAME, Look, log
from models.compression.finish import finish, make_cascade
from models.compression.wanted import Wanted
from models.recipe import RecipeError
from serving.bundles.cascade import Target
from tests.support.bundles import alter, evaluation, write_bundle
from tests.support.cascades import write_cascade


def wanted(registry):
    here = Path(__file__)
    return Wanted("source", (here,), "tone", here, registry, max_drop=0.02)


def test_nothing_published_is_said_though_there_is_no_registry_yet(tmp_path):
    with pytest.raises(RecipeError, match="no variant of tone is published"):
        finish(wanted(tmp_path / "none"), "teacher-fp32", [], ["a text"], output=tmp_path)


def test_what_an_earlier_run_left_is_neither_compared_nor_advised(tmp_path, capsys):
    registry = tmp_path / "registry"
    loss = {"negative_log_likelihood": {"value": 0.3, "low": 0.2, "high": 0.4}}
    scores = evaluation(0.9).model_dump() | loss
    for name in ("teacher-fp32", "tiny-int8"):
        write_bundle(tmp_path / name, variant=name)
        alter(tmp_path / name, registry / f"tone/{name}", evaluations={"test": scores})

    advice = finish(
        wanted(registry), "teacher-fp32", ["teacher-fp32"], ["a text"], output=tmp_path / "reports"
    )

    assert advice.variant == "teacher-fp32"
    said = capsys.readouterr().out
    assert "Not of this run, so not compared: tiny-int8." in said
    assert "Texts of more than 32 tokens are refused unless" in said
    assert "| tiny-int8 |" not in said.rpartition("Not of this run")[2]


@pytest.mark.parametrize(
    ("limit", "other"), [(None, ""), (0.1, ": there is only one with another limit")]
)
def test_a_cascade_that_was_looked_for_is_not_looked_for_again(tmp_path, capsys, limit, other):
    made = [write_bundle(tmp_path / f"tone/{name}", variant=name, scale=scale)
            for name, scale in (("large", 1.0), ("small", 0.5))]  # fmt: skip
    options = wanted(tmp_path)
    versions = [f"{each.variant} {each.version}" for each in made]
    target = Target(loss="accuracy", max_loss=options.max_drop, confidence=0.95)
    if limit:
        write_cascade(tmp_path, {each.variant: each.version for each in made}, target={
            "loss": "accuracy", "max_loss": limit, "confidence": 0.95,
        })  # fmt: skip
    log(Look("choose", target, versions, versions[0], {}, "0", "1", "2"), tmp_path / "tone")
    before = (tmp_path / "tone" / LOOKS_NAME).read_text()

    assert not make_cascade(options, ["large", "small"], None, tmp_path / "build", tmp_path)

    assert (tmp_path / "tone" / LOOKS_NAME).read_text() == before
    assert f"with this limit was looked for before{other}; " in capsys.readouterr().out


def test_there_is_no_cascade_beside_what_an_earlier_run_left(tmp_path, capsys):
    for name in ("large", "small"):
        write_bundle(tmp_path / f"tone/{name}", variant=name)

    assert not make_cascade(wanted(tmp_path), ["large"], None, tmp_path / "build", tmp_path)

    assert "No cascade: there are variants that are not of this run" in capsys.readouterr().out
    assert not (tmp_path / "tone" / LOOKS_NAME).exists()


def test_what_a_cascade_that_is_there_gains_is_returned(tmp_path):
    made = [write_bundle(tmp_path / f"tone/{name}", variant=name) for name in ("small", "large")]
    options = wanted(tmp_path)
    target = Target(loss="accuracy", max_loss=options.max_drop, confidence=0.95)
    versions = {each.variant: each.version for each in made}
    write_cascade(tmp_path, versions, target=target)
    named = [f"{variant} {version}" for variant, version in sorted(versions.items())]
    log(Look("choose", target, named, named[0], {}, "0", "1", "2"), tmp_path / "tone")

    said = make_cascade(options, versions, "small", tmp_path / "build", tmp_path)

    assert said.startswith("small, large (")
    assert "MB): 4.00 times the throughput of large; a lone text takes 1.00 ms" in said
