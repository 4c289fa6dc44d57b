"""What a cascade's stage may say of its confidences."""

import pytest
from pydantic import ValidationError

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
