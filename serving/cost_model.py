"""How long one batch takes, as a function of its shape, fitted to measurements.

It does not know how the measurements were taken (warmup.py) or what is decided with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured shape: `texts` rows padded to `length` tokens took `seconds`."""

    texts: int
    length: int
    seconds: float


@dataclass(frozen=True, slots=True)
class CostModel:
    """seconds = run + text * n + token * n * L + attention * n * L^2, all coefficients >= 0.

    n is the number of texts and L the padded length. The linear term is the matrix products
    with the weights, the quadratic one attention (Vaswani et al. 2017, table 1).
    """

    run_s: float
    text_s: float
    token_s: float
    attention_s: float

    def seconds(self, texts: int, length: int) -> float:
        """Predicted seconds of one run while all slots are busy."""
        per_text = self.text_s + length * (self.token_s + length * self.attention_s)
        return self.run_s + texts * per_text


def fit_cost_model(samples: Sequence[Sample]) -> CostModel:
    """Least squares on relative errors, keeping the coefficients non-negative.

    A coefficient that comes out negative is dropped and the rest fitted again, which is the
    active-set idea of Lawson and Hanson's NNLS, enough for four columns.
    Raises ValueError without samples.
    """
    if not samples:
        raise ValueError("a cost model needs at least one sample")
    shape = np.array([(s.texts, s.length) for s in samples], dtype=float)
    seconds = np.array([s.seconds for s in samples])
    n, length = shape[:, 0], shape[:, 1]
    columns = np.stack([np.ones_like(n), n, n * length, n * length**2], axis=1) / seconds[:, None]
    active = [0, 1, 2, 3]
    coefficients = np.zeros(4)
    while active:
        solved = np.linalg.lstsq(columns[:, active], np.ones(len(samples)), rcond=None)[0]
        if solved.min() >= 0:
            coefficients[active] = solved
            break
        del active[int(solved.argmin())]
    return CostModel(*coefficients.tolist())
