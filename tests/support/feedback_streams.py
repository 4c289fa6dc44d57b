"""Streams of feedback on two versions whose true rates are known, and how often tests of them err.

A test is `Test`: it takes the difference for larger (`sign` 1) or smaller (-1) than its `bound`.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from models.evaluation.sequential import evidence, evidence_against

CANARY, LIVE = 0, 1
MARGIN = 0.02


class Test(NamedTuple):
    sign: int
    bound: float

    __test__ = False


WITHDRAW, PROMOTE = Test(-1, 0.0), Test(1, -MARGIN)


def counts_of(generator, streams, length, rates, share):
    """Counts after each feedback, (2, streams, length, 2): of canary and live, right and wrong.

    `rates` are those of canary and live, each a number or of shape (length,); `share` is the
    canary's of the traffic.
    """
    of_canary = generator.random((streams, length), dtype=np.float32) < share
    rate = np.where(of_canary, rates[CANARY], rates[LIVE])
    right = generator.random((streams, length), dtype=np.float32) < rate
    return np.stack(
        [
            np.stack([(arm & each).cumsum(axis=1, dtype=np.int32) for each in (right, ~right)], -1)
            for arm in (of_canary, ~of_canary)
        ]
    )


def decided(counts, test, confidence=0.95):
    """Whether the interval is beyond the bound of a test, of shape (streams, looks).

    It is as large evidence against a difference of the bound, with the observed one beyond it.
    """
    beyond = test.sign * (_apart(counts) - test.bound) > 0
    found = np.zeros_like(beyond)
    canary, live = counts[CANARY][beyond], counts[LIVE][beyond]
    found[beyond] = evidence_against(canary, live, test.bound) >= -np.log1p(-confidence)
    return found


def errors(counts, test, rates, confidence=0.95):
    """(Share of streams decided wrongly at any look, share whose true `rates` are ever excluded).

    No interval can be wrong but where the true rates are excluded, so none is computed elsewhere.
    """
    against = sum(evidence(counts[arm], rates[arm]) for arm in (CANARY, LIVE))
    excluded = against >= -np.log1p(-confidence)
    wrong = np.zeros_like(excluded)
    wrong[excluded] = decided(counts[:, excluded], test, confidence)
    return wrong.any(axis=1).mean(), excluded.any(axis=1).mean()


def errors_of_z(counts, test, least=30, confidence=0.95):
    """The share of streams that a z-test, looked at after each feedback, ever decides.

    It looks from `least` feedbacks of each arm on.
    """
    n = counts.sum(axis=-1)
    rate = counts[..., 0] / np.maximum(n, 1)
    error = np.sqrt((rate * (1 - rate) / np.maximum(n, 1)).sum(axis=0))
    z = test.sign * (_apart(counts) - test.bound) / np.maximum(error, 1e-9)
    return ((z > ndtri(confidence)) & (n >= least).all(axis=0)).any(axis=1).mean()


def _apart(counts):
    rates = counts[..., 0] / np.maximum(counts.sum(axis=-1), 1)
    return rates[CANARY] - rates[LIVE]
