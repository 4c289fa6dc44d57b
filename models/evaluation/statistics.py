"""Scores with their 95 % intervals, from truth and predictions of shape (texts, labels). Pure."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import stats

from serving.bundles.evaluation import Estimate, LabelScore, Paired

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_CONFIDENCE = 0.95
_RESAMPLES = 1000
_SEED = 0
_BINS = 15
_SMALLEST_PROBABILITY = 1e-12


def proportion(hits: Flags) -> Estimate:
    """Return the share of true values, with Clopper and Pearson's exact interval (1934).

    Raises ValueError when there are no values.
    """
    if not hits.size:
        raise ValueError("no values to count: the split is empty")
    result = stats.binomtest(int(hits.sum()), hits.size)
    interval = result.proportion_ci(_CONFIDENCE, method="exact")
    return Estimate(
        value=float(result.statistic), low=float(interval.low), high=float(interval.high)
    )


def bootstrapped(
    figure: Callable[[Indices], float], texts: int, resamples: int = _RESAMPLES
) -> Estimate:
    """Return `figure(indices of all texts)` with its bootstrap percentile interval (Efron 1979).

    The bootstrap is seeded. If the figure is biased, as calibration errors are, its value may lie
    outside the percentiles; the interval is then extended to the value.
    """
    generator = np.random.default_rng(_SEED)
    drawn = [figure(generator.integers(0, texts, texts)) for _ in range(resamples)]
    tail = (1 - _CONFIDENCE) / 2
    value = figure(np.arange(texts))
    low, high = (float(quantile) for quantile in np.quantile(drawn, (tail, 1 - tail)))
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def correct(truth: Flags, predictions: Flags) -> Flags:
    """Return whether all of a text's labels are right, of shape (texts,)."""
    return np.asarray((truth == predictions).all(axis=1))


def paired(mine: Flags, other: Flags) -> Paired:
    """Compare which of the same texts two variants get right; both of shape (texts,)."""
    better, worse = int((mine & ~other).sum()), int((~mine & other).sum())
    discordant = better + worse
    p_value = float(stats.binomtest(better, discordant).pvalue) if discordant else 1.0
    gain = mine.astype(np.float64) - other
    difference = bootstrapped(lambda at: float(gain[at].mean()), len(gain))
    return Paired(better=better, worse=worse, p_value=p_value, difference=difference)


def label_scores(truth: Flags, predictions: Flags, names: list[str]) -> dict[str, LabelScore]:
    """Compute each label's precision, recall and F1; 0 / 0 is None.

    In scikit-learn's words, None is `zero_division=nan`.
    """
    hits = (truth & predictions).sum(axis=0)
    claimed, existing = predictions.sum(axis=0), truth.sum(axis=0)
    return {
        name: LabelScore(
            precision=_ratio(hits[i], claimed[i]),
            recall=_ratio(hits[i], existing[i]),
            f1=_ratio(2 * hits[i], claimed[i] + existing[i]),
            texts=int(existing[i]),
        )
        for i, name in enumerate(names)
    }


def macro_f1(truth: Flags, predictions: Flags, resamples: int = _RESAMPLES) -> Estimate | None:
    """Estimate the mean F1 of the labels that some text has or gets; None if there is none.

    The value is scikit-learn's `f1_score(..., average="macro", zero_division=nan)`. A resample is
    scored on the labels of all texts, and one that it lacks has 0. Since F1 is lower in resamples
    than on all texts, as on all texts than expected, the interval reaches as far to either side as
    the percentiles do to the farther one.
    """
    used = (truth | predictions).any(axis=0)
    if not used.any():
        return None
    truth, predictions = truth[:, used], predictions[:, used]

    def mean(at: Indices) -> float:
        hits = (truth[at] & predictions[at]).sum(axis=0)
        sizes = truth[at].sum(axis=0) + predictions[at].sum(axis=0)
        return float((2 * hits / np.maximum(sizes, 1)).mean())

    found = bootstrapped(mean, len(truth), resamples)
    reach = max(found.value - found.low, found.high - found.value)
    return Estimate(
        value=found.value, low=max(0.0, found.value - reach), high=min(1.0, found.value + reach)
    )


def calibration_error(truth: Flags, probabilities: Floats, *, single_label: bool) -> float:
    """Compute the expected calibration error in 15 equal bins (Guo et al. 2017).

    Confidence is a text's largest probability. Without `single_label` every label of every text
    counts, with the probability of the prediction, yes or no.
    """
    confidence = _confidence(probabilities, single_label=single_label)
    if single_label:
        hit = truth[np.arange(len(truth)), probabilities.argmax(axis=1)]
    else:
        hit = ((probabilities >= 0.5) == truth).ravel()
    return _binned_gap(confidence, hit)


def calibrated_error(probabilities: Floats, *, single_label: bool) -> Estimate:
    """Estimate the calibration error that a calibrated model would have on as many texts.

    The error cannot be negative, so chance alone makes it positive: truth is drawn from the
    probabilities themselves (consistency resampling, Broecker and Smith 2007). The value is the
    mean of the draws, the interval holds 95 % of them and the mean; the draws are seeded.
    """
    confidence = _confidence(probabilities, single_label=single_label)
    generator = np.random.default_rng(_SEED)
    drawn = [
        _binned_gap(confidence, generator.random(len(confidence)) < confidence)
        for _ in range(_RESAMPLES)
    ]
    tail = (1 - _CONFIDENCE) / 2
    low, high = (float(quantile) for quantile in np.quantile(drawn, (tail, 1 - tail)))
    mean = float(np.mean(drawn))
    return Estimate(value=mean, low=min(low, mean), high=max(high, mean))


def _confidence(probabilities: Floats, *, single_label: bool) -> Floats:
    if single_label:
        return np.asarray(probabilities.max(axis=1))
    return np.asarray(np.maximum(probabilities, 1 - probabilities).ravel())


def _binned_gap(confidence: Floats, hit: Flags) -> float:
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    gaps = np.bincount(bins, weights=confidence - hit, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def brier_scores(truth: Flags, probabilities: Floats) -> Floats:
    """Compute the squared distance of probabilities from truth (Brier 1950), of shape (texts,)."""
    return np.asarray(((probabilities - truth) ** 2).sum(axis=1))


def log_losses(truth: Flags, probabilities: Floats, *, single_label: bool) -> Floats:
    """Compute the negative log-likelihood in nats, of shape (texts,).

    It is that of the true label; without `single_label`, of every label's yes or no.
    """
    tiny = _SMALLEST_PROBABILITY
    yes = -np.log(np.clip(probabilities, tiny, 1.0))
    if single_label:
        return np.asarray(np.where(truth, yes, 0.0).sum(axis=1))
    no = -np.log(np.clip(1 - probabilities, tiny, 1.0))
    return np.asarray(np.where(truth, yes, no).sum(axis=1))


def _ratio(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
