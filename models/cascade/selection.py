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
class Proposal:
    """What is to be tested: `sequence` are the candidates, in the order of testing.

    `calibrations` and the `grid` of thresholds are by variant.
    """

    calibrations: list[Temperature | Isotonic]
    grid: list[Floats]
    sequence: list[Candidate]


@dataclass(frozen=True)
class Selection(Proposal):
    """A proposal, its chosen candidate, None if none passed, and the texts they were tested on."""

    chosen: Candidate | None
    tested: ScoredTexts


def propose(ordered: LabelledLogits, problem: Problem) -> Proposal:
    """Order candidates from the safest to the cheapest, without a look at the calibration texts."""
    labels = standard(ordered, problem)
    calibrations = [calibrated(each, labels, problem.problem_type) for each in ordered.logits]
    candidates = Candidates(scored(ordered, calibrations, problem), problem)
    return Proposal(calibrations, candidates.grid, candidates.frontier())


def choose(proposal: Proposal, tested: LabelledLogits, problem: Problem) -> Selection:
    """Choose the cheapest candidate whose expected loss is within the target, with its confidence.

    This is Pareto testing (Laufer-Goldshtein et al. 2023): fixed-sequence testing on `tested`
    decides how far to go. The guarantee holds whatever the proposal is, if it does not depend on
    `tested`.
    """
    texts = scored(tested, proposal.calibrations, problem)
    sequence = proposal.sequence
    p_values = (p_value(texts.lost(each), texts.groups, problem.target) for each in sequence)
    count = passed(p_values, problem.target.confidence)
    chosen = sequence[count - 1] if count else None
    return Selection(proposal.calibrations, proposal.grid, sequence, chosen, texts)


def select(ordered: LabelledLogits, tested: LabelledLogits, problem: Problem) -> Selection:
    """Propose candidates by `ordered`, and choose among them by `tested`."""
    return choose(propose(ordered, problem), tested, problem)
