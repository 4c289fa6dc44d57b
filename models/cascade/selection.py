"""Selects a cascade: candidates are ordered on some texts and tested on others. Pure."""

from dataclasses import dataclass

from models.cascade.candidates import Candidates
from models.cascade.confidence_calibration import calibrated
from models.cascade.risk_control import p_value, passed
from models.cascade.scored_texts import (
    Candidate,
    LabelledLogits,
    Problem,
    ScoredTexts,
    scored,
    standard,
)
from models.evaluation.statistics import Floats
from serving.bundles.cascade import Isotonic, Temperature


@dataclass(frozen=True)
class Selection:
    """The chosen candidate, None if none passed, and how it was found.

    `calibrations` and the `grid` of thresholds are by variant; `sequence` are the candidates in
    the order of testing, `tested` the texts they were tested on.
    """

    calibrations: list[Temperature | Isotonic]
    grid: list[Floats]
    sequence: list[Candidate]
    chosen: Candidate | None
    tested: ScoredTexts


def select(ordered: LabelledLogits, tested: LabelledLogits, problem: Problem) -> Selection:
    """Choose the cheapest candidate whose expected loss is within the target, with its confidence.

    This is Pareto testing (Laufer-Goldshtein et al. 2023). Calibrations, thresholds and the order
    of the candidates, from the safest to the cheapest, come from `ordered` alone; fixed-sequence
    testing on `tested` decides how far to go. The guarantee holds whatever `ordered` is.
    """
    labels = standard(ordered, problem)
    calibrations = [calibrated(each, labels, problem.problem_type) for each in ordered.logits]
    candidates = Candidates(scored(ordered, calibrations, problem), problem)
    sequence = candidates.frontier()
    texts = scored(tested, calibrations, problem)
    p_values = (p_value(texts.lost(each), texts.groups, problem.target) for each in sequence)
    count = passed(p_values, problem.target.confidence)
    chosen = sequence[count - 1] if count else None
    return Selection(calibrations, candidates.grid, sequence, chosen, texts)
