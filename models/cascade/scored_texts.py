"""Texts with each variant's loss and confidence score, on which candidates are compared. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.cascade.confidence_calibration import scores
from models.evaluation.predictions import predicted
from models.evaluation.statistics import Flags, Floats, Indices, correct
from models.recipe_sections import ProblemType
from serving.bundles.cascade import CONFIDENCE_BINS, Isotonic, Target, Temperature


@dataclass(frozen=True)
class LabelledLogits:
    """The truth of some texts, (texts, labels), and logits, (variants, texts, labels).

    `alone` are the reference's, (texts, labels), one text a batch: what it answers if nothing else
    is asked. None if they are those of `logits`.
    """

    truth: Flags
    logits: Floats
    alone: Floats | None = None

    def of(self, texts: Indices) -> "LabelledLogits":
        """Return these texts alone, in this order."""
        alone = None if self.alone is None else self.alone[texts]
        return LabelledLogits(self.truth[texts], self.logits[:, texts], alone)

    def referred(self, problem: "Problem") -> Flags:
        """Return the reference's labels, (texts, labels), which no other text has changed."""
        logits = self.logits[problem.reference] if self.alone is None else self.alone
        return predicted(logits, problem.problem_type)


@dataclass(frozen=True)
class Problem:
    """The target, the variant to compare with, and each variant's cost a text, (variants,).

    Variants are indices; `eligible` are those that a candidate may use. `early_labels`, indices as
    well, are the only ones with which a stage before the last ends a text; None allows any.
    """

    target: Target
    problem_type: ProblemType
    reference: int
    costs: Floats
    eligible: tuple[int, ...]
    early_labels: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Candidate:
    """A possible cascade: variants in order, and the threshold of each but the last."""

    variants: tuple[int, ...]
    thresholds: tuple[float, ...]

    def until(self, stage: int) -> "Candidate":
        """Return the same candidate cut after a stage, counted from 0."""
        return Candidate(self.variants[: stage + 1], self.thresholds[:stage])


@dataclass(frozen=True)
class ScoredTexts:
    """Each variant's losses and scores on some texts, both of shape (variants, texts).

    A loss is 1 where the reference, asked alone, is right and the variant in its batch wrong, and
    -1 the other way round; for agreement the reference is always right. `groups`, (groups, texts),
    are all texts, or the texts of each label; then, if some text has none, those without a label
    are the last group. `may_end`, (variants, texts), tells whether the variant may end the text
    with its answer before the last stage.
    """

    losses: Floats
    scores: Floats
    groups: Flags
    may_end: Flags

    def reached(self, candidate: Candidate) -> Flags:
        """Return which texts reach each stage, of shape (stages, texts)."""
        left = np.ones((1, self.scores.shape[1]), dtype=np.bool_)
        for variant, threshold in zip(candidate.variants, candidate.thresholds, strict=False):
            ends = self.may_end[variant] & (self.scores[variant] >= threshold)
            left = np.vstack([left, left[-1] & ~ends])
        return left

    def confidences(self, variant: int, texts: Flags) -> list[float]:
        """Return the share of `texts`, (texts,), in each twentieth of the variant's confidence."""
        counts, _ = np.histogram(self.scores[variant][texts], bins=CONFIDENCE_BINS, range=(0, 1))
        return [float(each) for each in counts / max(1, counts.sum())]

    def answering(self, candidate: Candidate) -> Indices:
        """Return the variant that answers each text, of shape (texts,)."""
        return np.asarray(np.array(candidate.variants)[self.reached(candidate).sum(axis=0) - 1])

    def lost(self, candidate: Candidate) -> Floats:
        """Return the candidate's losses, of shape (texts,)."""
        return np.asarray(self.losses[self.answering(candidate), np.arange(self.losses.shape[1])])

    def worst(self, candidate: Candidate) -> float:
        """Return the largest mean loss of a group; a group without texts has 0."""
        lost = self.lost(candidate)
        return max(float(lost[group].sum()) / max(1, int(group.sum())) for group in self.groups)

    def cost(self, candidate: Candidate, costs: Floats) -> float:
        """Return the mean cost a text, where `costs` are the variants'."""
        return float(self.reached(candidate).mean(axis=1) @ costs[list(candidate.variants)])


def standard(texts: LabelledLogits, problem: Problem) -> Flags:
    """Return the labels that count as right: the truth, or for agreement the reference's."""
    if problem.target.loss == "accuracy":
        return texts.truth
    return texts.referred(problem)


def scored(
    texts: LabelledLogits, calibrations: Sequence[Temperature | Isotonic], problem: Problem
) -> ScoredTexts:
    """Compute every variant's losses, and its scores by its calibration."""
    kind = problem.problem_type
    labels = standard(texts, problem)
    given = [predicted(each, kind) for each in texts.logits]
    hits = np.stack([correct(labels, each) for each in given])
    own = [scores(x, how, kind) for x, how in zip(texts.logits, calibrations, strict=True)]
    everything = np.ones((1, len(labels)), dtype=np.bool_)
    groups = _by_label(labels) if problem.target.each_label else everything
    right = correct(labels, texts.referred(problem))
    may_end = np.stack([within(each, problem.early_labels) for each in given])
    return ScoredTexts(right - hits.astype(np.float64), np.stack(own), groups, may_end)


def within(given: Flags, labels: Sequence[int] | None) -> Flags:
    """Return which texts have none but these labels, (texts,); `given` are theirs, with None all.

    `given` has the shape (texts, labels).
    """
    if labels is None:
        return np.ones(len(given), dtype=np.bool_)
    return np.asarray(~np.delete(given, labels, axis=1).any(axis=1))


def _by_label(labels: Flags) -> Flags:
    bare = ~labels.any(axis=1)
    return np.vstack([labels.T, bare]) if bare.any() else labels.T
