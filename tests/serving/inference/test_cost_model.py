import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.inference.cost_model import CostModel, Lane, Sample, fit_cost_model

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


@given(
    st.dictionaries(st.integers(1, 400), SECONDS, min_size=2, max_size=6),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_between_and_beyond_the_measured_sizes_lie_straight_lines(measured_s, texts, length):
    tokens = tuple(sorted(measured_s))
    linear_s = tuple(sorted(measured_s.values()))
    rows = max(texts * length, tokens[0])
    right = next((at for at, x in enumerate(tokens) if at and x >= rows), len(tokens) - 1)
    x0, x1 = tokens[right - 1 : right + 1]
    y0, y1 = linear_s[right - 1 : right + 1]

    seconds = CostModel(tokens, linear_s, 1e-6).seconds(texts, length)

    line_s = y0 + (rows - x0) * (y1 - y0) / (x1 - x0)
    assert seconds == pytest.approx(line_s + 1e-6 * texts * length**2, rel=1e-9)


@given(st.integers(1, 600), st.integers(16, 4096))
def test_a_share_is_that_of_a_text_in_a_full_batch_and_is_computed_once(length, budget_tokens):
    calls = []

    def seconds(rows, tokens):
        calls.append((rows, tokens))
        return 1e-3 + rows * tokens * 1e-5

    lane = Lane(seconds, budget_tokens)
    texts = max(1, budget_tokens // length)

    assert lane.share_s(length) == lane.shares_s[length] == seconds(texts, length) / texts
    assert lane.alone_s[length] == lane.alone_s[length] == seconds(1, length)
    assert len(calls) == 4
