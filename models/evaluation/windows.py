"""Rules that join the windows of long texts, compared with truncation. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from models.evaluation.predictions import kind_of, predicted, probabilities
from models.evaluation.statistics import (
    Flags,
    Floats,
    Indices,
    calibration_error,
    correct,
    log_losses,
    paired,
    proportion,
)
from models.evaluation.temperature import fitted_temperature
from models.recipe_sections import ProblemType
from serving.bundles.bundle import Manifest
from serving.bundles.evaluation import Estimate, Paired
from serving.bundles.windows import Rule
from serving.inference.windows import UNBOUNDED, Windowing, joined

OVERLAPS = (0.0, 0.25, 0.5)


def plain(rule: Rule, overlap: float) -> Windowing:
    """Return a windowing that scales nothing and bounds nothing."""
    return Windowing(rule, overlap, 1.0, UNBOUNDED, UNBOUNDED)


CANDIDATES = (
    plain("first_and_last", 0.0),
    *(plain(rule, overlap) for overlap in OVERLAPS for rule in ("mean", "max")),
)
"""Those that run fewer windows come first."""


class Calibration(NamedTuple):
    """The mean negative log-likelihood in nats, and the expected calibration error."""

    log_loss: float
    error: float


@dataclass(frozen=True)
class LongTexts:
    """What one variant answers to the texts that are too long for it.

    `truth` has the shape (texts, labels), as have the logits of the `truncated` texts; `rows` has
    by overlap each text's logits, of shape (windows, labels), `lengths` the tokens. `calibrates`
    are the texts that choose; all others judge.
    """

    manifest: Manifest
    truth: Flags
    lengths: Indices
    truncated: Floats
    rows: Mapping[float, Sequence[Floats]]
    calibrates: Flags

    @property
    def kind(self) -> ProblemType:
        """Whether a text has one label or any number of them."""
        return kind_of(self.manifest)

    def windows_of(self, windowing: Windowing) -> list[Floats]:
        """Return the logits of the windows that a rule runs."""
        rows = self.rows[windowing.overlap]
        if windowing.rule == "first_and_last":
            return [its[[0, -1]] for its in rows]
        return list(rows)

    def joined(self, windowing: Windowing) -> Floats:
        """Return the logits of the texts, of shape (texts, labels)."""
        rows = self.windows_of(windowing)
        return np.array([joined(its.tolist(), self.manifest, windowing).logits for its in rows])

    def hits(self, logits: Floats) -> Flags:
        """Return which texts get exactly their labels."""
        return correct(self.truth, predicted(logits, self.kind))

    def calibration(self, logits: Floats, at: Flags) -> Calibration:
        """Measure the calibration of the scores of some of the texts."""
        truth, single_label = self.truth[at], self.kind == "single_label"
        scores = probabilities(logits[at], self.kind, self.manifest.temperature)
        return Calibration(
            float(log_losses(truth, scores, single_label=single_label).mean()),
            calibration_error(truth, scores, single_label=single_label),
        )

    def tempered(self, windowing: Windowing) -> Windowing:
        """Return the windowing with the temperature that fits the calibrating texts."""
        logits = self.joined(windowing)[self.calibrates] / self.manifest.temperature
        found = fitted_temperature(logits, self.truth[self.calibrates], self.kind)
        return replace(windowing, temperature=found)


@dataclass(frozen=True)
class RuleFigures:
    """A rule on some of a variant's long texts: mean number of windows, and accuracy."""

    rule: Rule
    overlap: float
    windows: float
    accuracy: Estimate
    versus: Paired


def figures(texts: LongTexts, windowing: Windowing, at: Flags) -> RuleFigures:
    """Measure a rule on some of the texts."""
    hits, truncated = texts.hits(texts.joined(windowing)), texts.hits(texts.truncated)
    count = float(np.mean([len(its) for its in texts.windows_of(windowing)]))
    return RuleFigures(
        windowing.rule, windowing.overlap, count, proportion(hits[at]),
        paired(hits[at], truncated[at]),
    )  # fmt: skip


def chosen(variants: Sequence[LongTexts]) -> Windowing:
    """Choose for all variants: most calibrating texts right, the fewest windows among equals."""

    def right(windowing: Windowing) -> int:
        return sum(
            int(each.hits(each.joined(windowing))[each.calibrates].sum()) for each in variants
        )

    return max(CANDIDATES, key=right)


def length_classes(lengths: Indices, max_length: int) -> dict[str, Flags]:
    """Divide texts by their length: up to twice, up to four times, and over that of the model."""
    low, classes = 0, {}
    for high in (2 * max_length, 4 * max_length):
        classes[f"up to {high} tokens"] = (lengths > low) & (lengths <= high)
        low = high
    classes[f"over {low} tokens"] = lengths > low
    return {name: inside for name, inside in classes.items() if inside.any()}
