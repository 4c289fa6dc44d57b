"""Thresholds with a finite-sample guarantee: order statistics of labelled texts' scores. Pure.

Texts count as independent draws. The texts that a target is about are those without the label for a
false-positive rate, and those with it for a recall. An error is one of them that is flagged, or is
not. The threshold lets as many of the n texts be errors as the binomial test of the target allows
(the umbrella algorithm of Neyman-Pearson classification, Tong, Feng and Li 2018, Proposition 1).
Nothing is assumed of the scores: ties only make fewer errors. That a text's score is rounded
otherwise in another batch, by at most NEAR, makes no more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from models.evaluation.statistics import Flags, Floats
from serving.bundles.decisions import ENDED_WITHOUT, LabelTarget

NEAR = 1e-4
"""Log-odds that differ by no more may be two roundings of one score.

Logits in float32 were seen to differ by 2.2e-6 between engines (benchmarks of 2026-11-23).
"""
# Half way between scores that are so far apart is further than NEAR from both.
_APART = 3 * NEAR
# Beyond these log-odds the rounding of a score near 1 exceeds NEAR.
_MOST_LOG_ODDS = 27.0
_MOST_HINDSIGHT = 1.0


@dataclass(frozen=True)
class Allowance:
    """How many of `n` texts may be errors; `risk` is the probability that the target is missed."""

    n: int
    errors: int
    risk: float


class TooFewTexts(Exception):
    """A target that its texts cannot show, even without an error: it takes `needed`."""

    def __init__(self, target: LabelTarget, n: int, needed: int) -> None:
        super().__init__(f"{target.label}: {n} texts, {needed} needed")
        self.target, self.n, self.needed = target, n, needed


def texts_needed(max_error: float, risk: float) -> int:
    """Return the fewest texts that can show an error rate: (1 - max_error)^n <= risk."""
    return math.ceil(math.log(risk) / math.log1p(-max_error))


def allowances(targets: Sequence[LabelTarget], truth: Flags, confidence: float) -> list[Allowance]:
    """Divide the risk 1 - confidence among the targets, so that all are met at once.

    `truth`, (texts, targets), tells which texts have each target's label. This is Bonferroni's
    bound, stepwise as Holm's (1979): each target, that of the fewest texts first, gets its share of
    the risk that is left, and leaves what whole errors cannot use. The risks depend on nothing but
    the numbers of texts, so they add up to a bound. Holm's own test would gain nothing more: each
    threshold takes all the errors that its level allows, so none can hand its level on.

    Raises TooFewTexts for the first target that no threshold can be shown to meet.
    """
    about = [subject(target, truth[:, at]) for at, target in enumerate(targets)]
    counts = [int(each.sum()) for each in about]
    found: dict[int, Allowance] = {}
    left = 1 - confidence
    for at in sorted(range(len(targets)), key=counts.__getitem__):
        share, n = left / (len(targets) - len(found)), counts[at]
        errors = allowed_errors(n, targets[at].max_error, share)
        if errors is None:
            raise TooFewTexts(targets[at], n, texts_needed(targets[at].max_error, share))
        found[at] = Allowance(n, errors, _risk(n, errors, targets[at].max_error))
        left -= found[at].risk
    return [found[at] for at in range(len(targets))]


def allowed_errors(n: int, max_error: float, risk: float) -> int | None:
    """Return how many errors among n texts still show the error rate; None if not even 0 does.

    They are at most that many with probability `risk` if the rate is `max_error`.
    """
    errors = int(stats.binom.ppf(risk, n, max_error))
    while errors >= 0 and _risk(n, errors, max_error) > risk:
        errors -= 1
    return errors if errors >= 0 and n else None


def subject(target: LabelTarget, has_label: Flags) -> Flags:
    """Return which texts a target is about, (texts,)."""
    return has_label if target.min_recall is not None else ~has_label


def threshold(
    scores: Floats, has_label: Flags, target: LabelTarget, allowed: Allowance
) -> float | None:
    """Return the score from which on a text is flagged, with no more errors than are allowed.

    It lies half way to the next score that is no rounding of the last one that it has to clear, so
    that no text of the calibration is one more error in another batch.
    None if nothing could be flagged, because the score to clear is as good as 1; or, for a recall,
    if a one-sided stage has ended more texts without the label than may be errors. Thresholds are
    from 0 to 1, whatever such a stage has decided (see ENDED_WITH).
    """
    own = np.sort(scores[subject(target, has_label)])
    at = _log_odds(scores)
    if target.min_recall is not None:
        last = own[allowed.errors]
        if last == ENDED_WITHOUT:
            return None
        below = scores[at < _log_odds(last) - _APART].max(initial=0.0)
        return float((min(last, 1) + below) / 2) if _log_odds(last) > -_MOST_LOG_ODDS else 0.0
    first = max(own[-1 - allowed.errors], 0)
    if _log_odds(first) >= _MOST_LOG_ODDS:
        return None
    return float((first + scores[at > _log_odds(first) + _APART].min(initial=1.0)) / 2)


def _log_odds(scores: Floats) -> Floats:
    return np.asarray(
        np.clip(special.logit(np.clip(scores, 0, 1)), -_MOST_LOG_ODDS, _MOST_LOG_ODDS)
    )


def error_rate(flagged: Flags, has_label: Flags, target: LabelTarget) -> float:
    """Return the share of errors among the texts that the target is about; 0 without one."""
    about = subject(target, has_label)
    wrong = flagged != has_label
    return float(wrong[about].mean()) if about.any() else 0.0


def power(flagged: Flags, has_label: Flags, target: LabelTarget) -> float:
    """Return what the target leaves open, the more the better: recall, or specificity."""
    about = ~subject(target, has_label)
    right = flagged == has_label
    return float(right[about].mean()) if about.any() else 0.0


def best_power(scores: Floats, has_label: Flags, target: LabelTarget) -> float:
    """Return the power of the best threshold whose error rate on these texts is within the target.

    Nobody can choose it without knowing these texts: it is what the guarantee is compared with. It
    is 1 if the target is about none of these texts.
    """
    n = int(subject(target, has_label).sum())
    if not n:
        return 1.0
    errors = int(np.floor(target.max_error * n))
    allowed = Allowance(n, min(errors, n - 1), _MOST_HINDSIGHT)
    found = threshold(scores, has_label, target, allowed)
    return 0.0 if found is None else power(scores >= found, has_label, target)


def _risk(n: int, errors: int, max_error: float) -> float:
    return float(stats.binom.cdf(errors, n, max_error))
