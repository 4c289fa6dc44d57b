"""Temperature scaling: one number that calibrates a model's probabilities. Pure."""

import math

import numpy as np
from scipy import optimize

from models.evaluation.predictions import probabilities
from models.evaluation.statistics import Flags, Floats, log_losses
from models.recipe_sections import ProblemType

_LOWEST, _HIGHEST = 0.05, 20.0


def fitted_temperature(logits: Floats, truth: Flags, problem_type: ProblemType) -> float:
    """Find the temperature, 0.05 to 20, with the least negative log-likelihood (Guo et al. 2017).

    `logits` and `truth` have the shape (texts, labels). The result is never worse than 1 on these
    texts.
    """
    single_label = problem_type == "single_label"

    def loss(exponent: float) -> float:
        tempered = probabilities(logits, problem_type, math.exp(exponent))
        return float(np.mean(log_losses(truth, tempered, single_label=single_label)))

    found = optimize.minimize_scalar(
        loss, bounds=(math.log(_LOWEST), math.log(_HIGHEST)), method="bounded"
    )
    return math.exp(found.x) if found.fun < loss(0.0) else 1.0
