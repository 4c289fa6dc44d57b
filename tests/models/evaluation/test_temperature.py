import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.evaluation.predictions import predicted, probabilities
from models.evaluation.statistics import log_losses
from models.evaluation.temperature import fitted_temperature

shapes = st.tuples(st.integers(1, 40), st.integers(2, 4))
finite = st.floats(-20, 20, width=16)  # far enough apart not to round to a tie when divided
cases = shapes.flatmap(
    lambda shape: st.tuples(
        arrays.arrays(float, shape, elements=finite),
        arrays.arrays(np.int64, shape[0], elements=st.integers(0, shape[1] - 1)),
    )
)


def loss(logits, truth, temperature, kind):
    tempered = probabilities(logits, kind, temperature)
    return log_losses(truth, tempered, single_label=kind == "single_label").mean()


@given(cases, st.sampled_from(["single_label", "multi_label"]))
def test_the_fitted_temperature_is_never_worse_than_none_and_changes_no_answer(case, kind):
    logits, labels = case
    truth = np.eye(logits.shape[1], dtype=bool)[labels]

    temperature = fitted_temperature(logits, truth, kind)

    assert 0.05 <= temperature <= 20
    assert loss(logits, truth, temperature, kind) <= loss(logits, truth, 1.0, kind) + 1e-12
    assert (predicted(logits / temperature, kind) == predicted(logits, kind)).all()


@pytest.mark.parametrize("exaggeration", [0.5, 1.0, 3.0])
def test_it_finds_by_how_much_logits_exaggerate(exaggeration):
    chosen = np.random.default_rng(0)
    logits = chosen.normal(size=(20_000, 3))
    chances = probabilities(logits, "single_label", 1.0)
    labels = (chosen.random((len(chances), 1)) > chances.cumsum(axis=1)).sum(axis=1)
    truth = np.eye(3, dtype=bool)[np.minimum(labels, 2)]

    found = fitted_temperature(exaggeration * logits, truth, "single_label")

    assert found == pytest.approx(exaggeration, rel=0.05)
