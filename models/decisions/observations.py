"""Scores a family's variants and its cascade on the texts that choose, and that judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.cascade.confidence_calibration import scores as confidences
from models.cascade.observations import BATCH_TEXTS
from models.cascade.scored_texts import within
from models.cascade.text_sets import (
    TextSet,
    calibration_share,
    data_folder,
    read_halves,
    read_text_set,
)
from models.cascade.variants import bundles_of, load
from models.data.labelled import LabelSet, has_labels, read_labels
from models.decisions.options import DecideOptions
from models.evaluation.predictions import (
    Predictor,
    kind_of,
    predicted,
    probabilities,
    windows_for,
)
from models.evaluation.statistics import Flags, Floats
from models.recipe import RecipeError
from serving.bundles.bundle import Bundle, Manifest
from serving.bundles.cascade import CASCADE_NAME, Cascade, check_cascade
from serving.bundles.decisions import ENDED_WITH, ENDED_WITHOUT, LabelTarget
from serving.bundles.family_file import read_beside
from serving.bundles.windows import Windows
from serving.errors import BundleError


@dataclass(frozen=True)
class Scored:
    """A variant, or with `variant` None the cascade, and its scores on the texts.

    `chosen` and `judged` are its scores of the targets' labels on the texts that choose and that
    judge, both of shape (texts, targets).
    """

    variant: str | None
    versions: Mapping[str, str]
    cascade_hash: str | None
    windows_hash: str | None
    engines: Mapping[str, str]
    chosen: Floats
    judged: Floats


@dataclass(frozen=True)
class Observations:
    """What a family's variants answer to the texts that choose thresholds, and that judge them.

    `truth` tells which texts have the targets' labels, (texts, targets), of the two sets.
    `cascade` is the family's, if it is not stale; `same_texts` whether those that choose also
    tested it. `windows` is how long texts were joined, None if they were truncated; `long` is how
    many of those that choose and that judge were too long for some variant. `held_out` names the
    recipe that has divided the texts, and the share of them that choose; None for a table's.
    """

    texts: tuple[TextSet, TextSet]
    truth: tuple[Flags, Flags]
    scored: Sequence[Scored]
    cascade: Cascade | None
    windows: Windows | None
    long: tuple[int, int]
    held_out: tuple[str, float] | None

    @property
    def same_texts(self) -> bool:
        """Whether the texts that choose have tested the cascade before."""
        return self.cascade is not None and self.cascade.tested_sha256 == self.texts[0].sha256


def observe(options: DecideOptions) -> Observations:
    """Run every variant on the held-out texts. Raises RecipeError or BundleError if it cannot."""
    bundles = bundles_of(options.registry, options.family)
    data = data_folder(options.family, options.build)
    labels = read_labels(data)
    columns = _columns(options.targets, labels)
    if options.recalibrate:
        texts = read_halves(options.recalibrate, labels, "accuracy")
    elif has_labels(data):
        texts = (read_text_set(data, "calibration"), read_text_set(data, "test"))
    else:
        raise RecipeError(
            f"{data} has a teacher's answers instead of labels, so nothing is known of its errors: "
            "give labelled texts with --recalibrate"
        )
    windows = windows_for(bundles[0], options.long)
    loaded = load(bundles, labels, options.engine, windows)
    if not loaded:
        raise RecipeError(f"{options.registry / options.family} has no variant that can be run")
    manifests = {each.manifest.variant: each.manifest for each in bundles}
    engines = {variant: predictor.runs_as for variant, predictor in loaded.items()}
    everything = [text for each in texts for text in each.texts]
    logits = {name: each.logits(everything, BATCH_TEXTS) for name, each in loaded.items()}
    first = len(texts[0].texts)

    def scored(
        variant: str | None, used: Sequence[str], scores: Floats, cascade: Cascade | None = None
    ) -> Scored:
        versions = {name: manifests[name].version for name in used}
        its_engines = {name: engines[name] for name in used}
        kept = scores[:, columns]
        return Scored(
            variant,
            versions,
            cascade.fingerprint if cascade else None,
            windows.fingerprint(manifests[name] for name in used) if windows else None,
            its_engines,
            kept[:first],
            kept[first:],
        )

    found = [scored(name, [name], label_scores(x, manifests[name])) for name, x in logits.items()]
    cascade = _cascade(bundles[0], manifests, logits)
    if cascade:
        stages = [stage.variant for stage in cascade.stages]
        found.append(scored(None, stages, cascade_scores(cascade, manifests, logits), cascade))
    truth = (texts[0].truth[:, columns], texts[1].truth[:, columns])
    long = (_long(loaded, texts[0]), _long(loaded, texts[1]))
    held_out = None if options.recalibrate else (data.parent.name, calibration_share(data))
    return Observations(texts, truth, found, cascade, windows, long, held_out)


def _long(loaded: Mapping[str, Predictor], texts: TextSet) -> int:
    return len({at for each in loaded.values() for at, _ in each.too_long(texts.texts)})


def label_scores(logits: Floats, manifest: Manifest) -> Floats:
    """Return the scores that are served, of shape (texts, labels)."""
    return probabilities(logits, kind_of(manifest), manifest.temperature)


def cascade_scores(
    cascade: Cascade, manifests: Mapping[str, Manifest], logits: Mapping[str, Floats]
) -> Floats:
    """Return the scores of the stage that answers each text, of shape (texts, labels).

    Those of a one-sided stage are ENDED_WITH and ENDED_WITHOUT. `logits` are each variant's,
    (texts, labels).
    """
    variants = [stage.variant for stage in cascade.stages]
    found = label_scores(logits[variants[-1]], manifests[variants[-1]])
    for stage in reversed(cascade.stages[:-1]):
        own, manifest = logits[stage.variant], manifests[stage.variant]
        assert stage.threshold is not None
        kind = kind_of(manifest)
        sure = confidences(own, stage.calibration, kind) >= stage.threshold
        scores = label_scores(own, manifest)
        if stage.early_labels is not None:
            given = predicted(own, kind)
            sure &= within(given, [manifest.labels.index(each) for each in stage.early_labels])
            scores = np.where(given, ENDED_WITH, ENDED_WITHOUT)
        found = np.where(sure[:, None], scores, found)
    return found


def _columns(targets: Sequence[LabelTarget], labels: LabelSet) -> list[int]:
    for target in targets:
        if target.label not in labels.names:
            raise RecipeError(f"--label {target.label}: choose from {', '.join(labels.names)}")
    return [labels.names.index(target.label) for target in targets]


def _cascade(
    bundle: Bundle, manifests: Mapping[str, Manifest], loaded: Mapping[str, Floats]
) -> Cascade | None:
    """Return the family's cascade, unless a server would refuse it or a stage was left out."""
    try:
        cascade = read_beside(bundle, Cascade, CASCADE_NAME)
        if cascade is None:
            return None
        check_cascade(cascade, manifests)
    except BundleError as error:
        print(f"the cascade is left out: {error}")
        return None
    if {stage.variant for stage in cascade.stages} <= loaded.keys():
        return cascade
    print("the cascade is left out: one of its variants is")
    return None
