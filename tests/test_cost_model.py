import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.cost_model import CostModel, Sample, fit_cost_model

SHAPES = [(n, length) for n in (1, 2, 4, 16) for length in (4, 16, 64, 256)]
COEFFICIENTS = st.floats(1e-6, 1e-2)


@given(COEFFICIENTS, COEFFICIENTS, COEFFICIENTS, COEFFICIENTS)
def test_a_fit_on_noiseless_samples_predicts_them(run_s, text_s, token_s, attention_s):
    truth = CostModel(run_s, text_s, token_s, attention_s)
    samples = [Sample(n, length, truth.seconds(n, length)) for n, length in SHAPES]

    fitted = fit_cost_model(samples)

    for sample in samples:
        predicted = fitted.seconds(sample.texts, sample.length)
        assert predicted == pytest.approx(sample.seconds, rel=1e-3)


@given(st.lists(st.floats(1e-5, 1.0), min_size=len(SHAPES), max_size=len(SHAPES)))
def test_no_coefficient_is_negative_however_noisy_the_samples(seconds):
    samples = [Sample(*shape, s) for shape, s in zip(SHAPES, seconds, strict=True)]

    fitted = fit_cost_model(samples)

    assert min(fitted.run_s, fitted.text_s, fitted.token_s, fitted.attention_s) >= 0
    assert fitted.seconds(2, 64) >= fitted.seconds(1, 64) >= fitted.seconds(1, 32)


def test_nothing_measured_is_an_error():
    with pytest.raises(ValueError, match="at least one sample"):
        fit_cost_model([])
