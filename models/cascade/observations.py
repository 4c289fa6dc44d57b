"""Runs a family's variants on all held-out texts and measures what they cost on this machine."""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.cascade.costs import Costs, Measure, measured
from models.cascade.looks import Look
from models.cascade.options import CascadeOptions
from models.cascade.scored_texts import Candidate, LabelledLogits, Problem, scored
from models.cascade.selection import Selection
from models.cascade.text_sets import TextSet, data_folder, read_halves, read_text_set
from models.cascade.variants import bundles_of, load
from models.data.labelled import read_labels
from models.evaluation.predictions import Predictor, predicted, windows_for
from models.evaluation.statistics import Flags, correct, proportion
from models.recipe import RecipeError
from serving.bundles.bundle import Manifest
from serving.bundles.cascade import Target, unfit_early_labels
from serving.bundles.evaluation import Estimate
from serving.bundles.windows import Windows

BATCH_TEXTS = 8
# Cross-validation of the confidence leaves out at least one text and needs another.
_FEWEST_TEXTS = 2


@dataclass(frozen=True)
class Observations:
    """A family's variants, and their logits on the texts for ordering, testing and judging.

    `eligible` are the names of the variants that a cascade may use, `engines` what ran each.
    `windows` is how long texts were joined, None if they were truncated; `early_labels` are those
    of the options.
    """

    manifests: list[Manifest]
    texts: tuple[TextSet, TextSet, TextSet]
    logits: tuple[LabelledLogits, LabelledLogits, LabelledLogits]
    costs: Costs
    eligible: Collection[str]
    engines: Mapping[str, str] = field(default_factory=dict)
    windows: Windows | None = None
    early_labels: Sequence[str] | None = None

    def problem(self, target: Target) -> Problem:
        """Return the problem of meeting `target` against the variant with the most bytes."""
        largest = _largest(self.manifests)
        kind = self.manifests[largest].problem_type
        assert kind != "regression", "left out on loading"
        eligible = (at for at, each in enumerate(self.manifests) if each.variant in self.eligible)
        labels = self.manifests[largest].labels
        early = self.early_labels
        return Problem(
            target,
            kind,
            largest,
            self.costs.batched_s,
            tuple(eligible),
            None if early is None else tuple(labels.index(each) for each in early),
        )

    def reference_hits(self, problem: Problem) -> Flags:
        """Return which test texts the reference gets right, asked one by one, (texts,)."""
        judged = self.logits[2]
        return correct(judged.truth, judged.referred(problem))

    def self_disagreement(self, problem: Problem) -> Estimate:
        """Return the share of calibration texts that the reference answers otherwise in a batch."""
        tested = self.logits[1]
        batched = predicted(tested.logits[problem.reference], problem.problem_type)
        return proportion(~correct(tested.referred(problem), batched))

    def look(self, target: Target, sequence: Sequence[Candidate] | None) -> Look:
        """Describe a look at these texts for the log: a test of `sequence`, or re-splits if None.

        Engines and thresholds have a part in what is tested, so they make another look.
        """
        names = {each.variant: f"{each.variant} {each.version}" for each in self.manifests}
        reference = self.manifests[_largest(self.manifests)].variant
        eligible = [name for name in names if name in self.eligible]
        _, tested, judged = self.texts
        return Look(
            "resplit" if sequence is None else "choose",
            target,
            [names[name] for name in eligible],
            names[reference],
            {name: self.engines.get(name, "") for name in sorted({*eligible, reference})},
            None if sequence is None else self._hash(sequence),
            tested.sha256,
            judged.sha256,
            self.windows.fingerprint(self.manifests) if self.windows else None,
            self.early_labels,
        )

    def _hash(self, sequence: Sequence[Candidate]) -> str:
        steps = [
            ([self.manifests[number].variant for number in each.variants], each.thresholds)
            for each in sequence
        ]
        return hashlib.sha256(json.dumps(steps).encode()).hexdigest()

    def hits(self, selection: Selection, problem: Problem) -> Callable[[Candidate], Flags]:
        """Return a function from a candidate to the test texts that it gets right, (texts,)."""
        judged, kind = self.logits[2], problem.problem_type
        each = np.stack([correct(judged.truth, predicted(x, kind)) for x in judged.logits])
        texts = scored(judged, selection.calibrations, problem)
        return lambda candidate: each[texts.answering(candidate), np.arange(each.shape[1])]


def observe(options: CascadeOptions, measure: Measure = measured) -> Observations:
    """Run every variant, or those in the options and the largest, on the held-out texts.

    `measure` measures what they cost, on the texts for ordering, so that the others are only
    tested. Raises RecipeError when texts or variants are missing, BundleError when a bundle is
    broken.
    """
    bundles = bundles_of(options.registry, options.family, options.variants)
    data = data_folder(options.family, options.build)
    labels = read_labels(data)
    if options.recalibrate:
        ordered, tested = read_halves(options.recalibrate, labels, options.target.loss)
    else:
        ordered, tested = (read_text_set(data, split) for split in ("validation", "calibration"))
    texts = (ordered, tested, read_text_set(data, "test"))
    if (fewest := min(len(each.texts) for each in texts)) < _FEWEST_TEXTS:
        raise RecipeError(
            f"{options.recalibrate or data}: {fewest} texts to order, to test or to judge "
            f"candidates: provide at least {_FEWEST_TEXTS} for each"
        )
    windows = windows_for(bundles[0], options.long)
    loaded = load(bundles, labels, options.engine, windows)
    eligible = set(options.variants or loaded) & set(loaded)
    if len(eligible) < 2:
        raise RecipeError(
            f"{options.registry / options.family} has {len(eligible)} variants that a cascade can "
            "use, and it needs two: run `python -m models all`"
        )
    manifests = [bundle.manifest for bundle in bundles if bundle.manifest.variant in loaded]
    early = options.early_labels
    if early is not None and (reason := unfit_early_labels(early, manifests[0])):
        raise RecipeError(f"--early-labels: {reason}")
    logits = _logits(list(loaded.values()), _largest(manifests), texts)
    costs = measure(loaded, ordered.texts)
    engines = {variant: predictor.runs_as for variant, predictor in loaded.items()}
    return Observations(manifests, texts, logits, costs, eligible, engines, windows, early)


def _largest(manifests: Sequence[Manifest]) -> int:
    return int(np.argmax([manifest.bytes for manifest in manifests]))


def _logits(
    predictors: Sequence[Predictor], reference: int, sets: tuple[TextSet, TextSet, TextSet]
) -> tuple[LabelledLogits, LabelledLogits, LabelledLogits]:
    """Every variant's logits in batches of 8, as in traffic, and the reference's one by one.

    A batch can change a dynamically quantized graph's answers, and the standard must not depend on
    what else was in the batch.
    """
    texts = [text for each in sets for text in each.texts]
    ends = np.cumsum([len(each.texts) for each in sets])[:-1]
    logits = np.stack([predictor.logits(texts, BATCH_TEXTS) for predictor in predictors])
    alone = predictors[reference].logits(texts)
    parts = zip(sets, np.split(logits, ends, axis=1), np.split(alone, ends), strict=True)
    ordered, tested, judged = (LabelledLogits(each.truth, *found) for each, *found in parts)
    return ordered, tested, judged
