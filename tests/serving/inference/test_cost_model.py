import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.inference.cost_model import Sample, fit_cost_model

SIZES = [(1, 4), (1, 8), (1, 16), (1, 32), (2, 32), (4, 32), (8, 32)]
LONG = [(1, 64), (1, 128), (1, 256)]
SECONDS = st.floats(1e-6, 1e-2)


def truth(run_s, token_s, attention_s):
    return lambda n, length: run_s + token_s * n * length + attention_s * n * length**2


def measured(shapes, seconds):
    return [Sample(n, length, seconds(n, length)) for n, length in shapes]


@given(SECONDS, SECONDS, SECONDS)
def test_a_fit_on_noiseless_samples_predicts_them_and_what_lies_between(run_s, token_s, quadratic):
    seconds = truth(run_s, token_s, quadratic * 1e-3)

    model = fit_cost_model(measured(SIZES, seconds), measured(LONG, seconds))

    for n, length in [*SIZES, *LONG, (3, 32), (5, 20), (2, 100)]:
        assert model.seconds(n, length) == pytest.approx(seconds(n, length), rel=0.25)


@given(
    st.lists(SECONDS, min_size=len(SIZES), max_size=len(SIZES)),
    st.lists(SECONDS, min_size=len(LONG), max_size=len(LONG)),
)
def test_more_texts_or_longer_ones_never_take_less_however_noisy_the_samples(sizes, long):
    model = fit_cost_model(
        [Sample(*shape, s) for shape, s in zip(SIZES, sizes, strict=True)],
        [Sample(*shape, s) for shape, s in zip(LONG, long, strict=True)],
    )

    for texts, length in ((1, 3), (1, 30), (2, 30), (9, 40), (50, 100)):
        now_s = model.seconds(texts, length)
        assert 0 <= now_s <= model.seconds(texts + 1, length)
        assert now_s <= model.seconds(texts, length + 1)


def test_kernels_that_get_better_with_more_rows_make_a_batch_pay():
    seconds = {4: 1.0, 8: 1.2, 16: 1.5, 32: 2.0, 64: 3.0, 128: 5.0, 256: 9.0}
    model = fit_cost_model([Sample(n, length, seconds[n * length]) for n, length in SIZES], [])

    assert model.seconds(8, 32) == pytest.approx(9.0)
    assert model.seconds(8, 32) < 8 * model.seconds(1, 32) * 0.6


def test_one_size_is_not_enough():
    with pytest.raises(ValueError, match="at least two sizes"):
        fit_cost_model([Sample(1, 4, 1.0)], [])
