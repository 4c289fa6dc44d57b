import pytest
import torch
from transformers.modeling_outputs import SequenceClassifierOutput

from models.compression import timing as module
from models.compression.timing import scoring_seconds, training_seconds
from models.training.loop import similar_lengths

TEXTS = [[5] * (400 if number % 50 == 0 else 10 + number % 30) for number in range(2_000)]


class Clock:
    """Tells the time, which only outputs take: of a batch, a token, and more in longer texts."""

    now_s, batches = 1.0, 0
    a_batch_s, a_token_s, a_pair_s = 0.01, 1e-4, 2e-7

    def of(self, texts):
        longest = max(map(len, texts))
        return self.a_batch_s + len(texts) * longest * (self.a_token_s + self.a_pair_s * longest)

    def outputs(self, model, texts, _precision="fp32"):
        self.now_s += self.of(texts)
        self.batches += 1
        return SequenceClassifierOutput(logits=model.weight.sum())


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "outputs", clock.outputs)
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock.now_s)
    return clock


@pytest.mark.parametrize("seconds", [scoring_seconds, training_seconds])
@pytest.mark.parametrize(
    ("slower", "batches", "tolerance"), [(1, 25, 0.1), (5, 10, 0.1), (60, 7, 0.4)]
)
def test_a_few_batches_stand_for_all(clock, seconds, slower, batches, tolerance):
    """Of a slower model fewer are timed, in the end without the longest."""
    for name in ("a_batch_s", "a_token_s", "a_pair_s"):
        setattr(clock, name, slower * getattr(clock, name))
    every = similar_lengths([len(text) for text in TEXTS], 16, seed=0)
    all_s = sum(clock.of([TEXTS[at] for at in each]) for each in every)
    precision = ("fp32",) if seconds is training_seconds else ()

    found = seconds(torch.nn.Linear(2, 2), TEXTS, *precision)

    assert clock.batches <= batches
    assert found == pytest.approx(all_s / len(TEXTS), rel=tolerance)


def test_texts_of_one_length_count_by_the_median(clock, monkeypatch):
    def outputs(*given):
        clock.now_s += 3.0 * (clock.batches == 2)
        return clock.outputs(*given)

    monkeypatch.setattr(module, "outputs", outputs)
    texts = TEXTS[:1] * 320

    assert scoring_seconds(torch.nn.Linear(2, 2), texts) == pytest.approx(clock.of(texts[:16]) / 16)


def test_one_text_is_timed(clock):
    assert scoring_seconds(torch.nn.Linear(2, 2), TEXTS[:1]) == pytest.approx(clock.of(TEXTS[:1]))


def test_answers_are_timed_as_they_are_given(monkeypatch):
    modes = []

    def outputs(model, _texts, _precision="fp32"):
        modes.append((model.training, torch.is_inference_mode_enabled()))
        return SequenceClassifierOutput(logits=model.weight.sum())

    monkeypatch.setattr(module, "outputs", outputs)

    scoring_seconds(torch.nn.Linear(2, 2), TEXTS[:40])
    assert set(modes) == {(False, True)}
    modes.clear()
    training_seconds(torch.nn.Linear(2, 2), TEXTS[:40], "fp32")
    assert set(modes) == {(True, False)}
