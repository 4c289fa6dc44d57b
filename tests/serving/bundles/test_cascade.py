"""What a cascade's stage may say of its confidences."""

from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from serving.bundles.windows import Windows
from tests.support.cascades import cascade_of

STAGE = cascade_of({"small": "1", "large": "2"}).stages[0]


@pytest.mark.parametrize(
    "confidences",
    [[0.05] * 19, [1.0] * 20, [0.0] * 20, [float("nan")] * 20, [-0.05] * 10 + [0.15] * 10],
    ids=["19", "20 times all", "none", "no numbers", "negative"],
)
def test_confidences_are_twenty_shares_of_all_texts(confidences):
    content = STAGE.model_dump() | {"confidences": confidences}
    with pytest.raises(ValidationError, match="confidences"):
        type(STAGE).model_validate(content)


def test_a_cascade_of_before_has_none():
    content = STAGE.model_dump(exclude={"confidences"})
    assert type(STAGE).model_validate(content).confidences is None


def test_a_cascade_that_was_calibrated_in_windows_is_unproven_once_they_are_others():
    manifests = {
        variant: SimpleNamespace(variant=variant, version=version, multi_label=False)
        for variant, version in (("small", "1"), ("large", "2"))
    }
    its_hash = Windows().fingerprint(manifests.values())
    versions = {"small": "1", "large": "2"}
    made = cascade_of(versions, long="windows", windows_hash=its_hash)

    assert made.unproven({}, manifests, Windows(rule="mean", long="windows")) == []
    assert made.unproven({}, manifests, Windows(rule="max")) == ["small", "large"]
    assert cascade_of(versions).unproven({}, manifests, Windows(rule="max")) == []
    for fields in ({"long": "windows"}, {"windows_hash": its_hash}):
        with pytest.raises(ValidationError, match="windows_hash exactly if long is windows"):
            cascade_of(versions, **fields)
