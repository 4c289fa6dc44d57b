"""The command `evaluate` of a published family: accuracy, or agreement with another bundle."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models.data.labelled import LabelSet
from models.evaluation.figures import SplitPredictions, figures
from models.evaluation.predictions import Predictor, kind_of, predicted, windows_for
from models.evaluation.statistics import Flags, correct, proportion
from models.published.publishing import bundles_of, default_of, named, publish_measured
from models.published.texts import Columns, UserTexts, read_texts
from serving.bundles.bundle import JUDGED_SPLIT, Bundle
from serving.bundles.evaluation import Agreement, Estimate, Evaluation
from serving.bundles.files import listed
from serving.bundles.ranking import ranked
from serving.bundles.windows import Long, Windows
from serving.errors import BundleError, EngineFailed

Tell = Callable[[str], None]
_PADDED_BATCH_TEXTS = 16


@dataclass(frozen=True)
class Measured:
    """What a bundle answered on the user's texts, and what that says of it."""

    bundle: Bundle
    predictions: Flags
    fields: Mapping[str, object]
    """The fields of the manifest that change."""
    says: str


def evaluate(
    target: str,
    files: Sequence[Path],
    columns: Columns,
    registry: Path,
    *,
    reference: str = "",
    long: Long | None = None,
    tell: Tell = print,
) -> None:
    """Measure every variant of FAMILY, or one as FAMILY/VARIANT, and publish what was found.

    With a `reference`, a variant of the family or FAMILY/VARIANT, agreement with it is measured
    and no label is read; else accuracy. Nothing is published unless all variants could be measured.
    `long` says whether long texts are truncated or answered in windows, by default as they are
    served, where they are not refused. Raises RecipeError or BundleError in a sentence.
    """
    bundles = bundles_of(target, registry)
    family = bundles[0].manifest.family
    texts = read_texts(files, columns, bundles[0])
    windows = windows_for(bundles[0], long)
    if reference:
        other = named(reference if "/" in reference else f"{family}/{reference}", registry)
        answers = answers_of(other, texts, windows)
        measured = [agreeing(each, texts, other, answers, windows) for each in bundles]
    else:
        measured = _scored(bundles, texts, windows)
    for each in measured:
        publish_measured(each.bundle, each.fields, registry, tell)
        tell(each.says)
    tell(default_of(family, registry))


def _scored(bundles: list[Bundle], texts: UserTexts, windows: Windows | None) -> list[Measured]:
    """Score bundles of one family, each compared with the first in order of precision."""
    unmeasured: dict[str, object] = {"evaluations": {}, "agreement": None}
    plain = {b.manifest.variant: b.manifest.model_copy(update=unmeasured) for b in bundles}
    order = [each.variant for each in ranked(plain.values())]
    bundles = sorted(bundles, key=lambda each: order.index(each.manifest.variant))
    first = scored(bundles[0], texts, {}, windows)
    labels = bundles[0].manifest.labels
    found = [first]
    for each in bundles[1:]:
        others = {order[0]: _reordered(first.predictions, labels, each)}
        found.append(scored(each, texts, others, windows))
    return found


def scored(
    bundle: Bundle, texts: UserTexts, others: Mapping[str, Flags], windows: Windows | None
) -> Measured:
    """Measure the accuracy; `others` are predictions of other variants, as in `figures`."""
    manifest = bundle.manifest
    labels = LabelSet(tuple(manifest.labels), kind_of(manifest))
    with running(bundle):
        predictor = Predictor(bundle, windows=windows)
        batched = predictor.logits(texts.texts, _PADDED_BATCH_TEXTS)
        found = SplitPredictions(
            texts.truth(manifest.labels),
            predictor.logits(texts.texts),
            predicted(batched, labels.problem_type),
            predictor.lengths(texts.texts).tolist(),
        )
        fields = figures(found, labels, manifest.temperature, others)
        measured = {
            "split_sha256": texts.sha256,
            "texts_per_second": predictor.texts_per_second(texts.texts),
        }
    evaluation = Evaluation.model_validate(fields | measured)
    return Measured(
        bundle,
        predicted(found.logits, labels.problem_type),
        {"evaluations": dict(manifest.evaluations) | {JUDGED_SPLIT: evaluation}},
        f"{manifest.family}/{manifest.variant}: accuracy {_in_words(evaluation.accuracy)} "
        f"on {evaluation.n:,} texts",
    )


def answers_of(bundle: Bundle, texts: UserTexts, windows: Windows | None) -> Flags:
    """Return the labels that a bundle predicts, of shape (texts, labels)."""
    with running(bundle):
        logits = Predictor(bundle, windows=windows).logits(texts.texts)
        return predicted(logits, kind_of(bundle.manifest))


def agreeing(
    bundle: Bundle, texts: UserTexts, other: Bundle, answers: Flags, windows: Windows | None
) -> Measured:
    """Measure how often a bundle answers as `other`, whose answers are given."""
    expected = _reordered(answers, other.manifest.labels, bundle)
    same = bundle.manifest.version == other.manifest.version
    own = expected if same else answers_of(bundle, texts, windows)
    agreement = Agreement(
        family=other.manifest.family,
        variant=other.manifest.variant,
        version=other.manifest.version,
        texts_sha256=texts.sha256,
        n=len(texts.texts),
        share=proportion(correct(expected, own)),
    )
    manifest = bundle.manifest
    return Measured(
        bundle,
        own,
        {"agreement": agreement},
        f"{manifest.family}/{manifest.variant}: agrees with {agreement.family}/"
        f"{agreement.variant} on {_in_words(agreement.share)} of {agreement.n:,} texts"
        + (", which all get one answer: take other texts too" if _are_alike(answers) else ""),
    )


def _are_alike(answers: Flags) -> bool:
    return bool((answers == answers[0]).all())


def _reordered(answers: Flags, labels: Sequence[str], bundle: Bundle) -> Flags:
    """Return answers of another bundle in the order of this one's labels."""
    own = bundle.manifest.labels
    if set(own) != set(labels) or answers.shape[1] != len(own):
        raise BundleError(
            f"{bundle.folder} has the labels {listed(own)}, the bundle to compare it with "
            f"{listed(labels)}: they cannot agree"
        )
    return answers[:, [labels.index(label) for label in own]]


@contextmanager
def running(bundle: Bundle) -> Iterator[None]:
    """Raise BundleError, naming the bundle, where its engine fails."""
    try:
        yield
    except EngineFailed as error:
        raise BundleError(f"{bundle.folder} cannot run: {error}") from error


def _in_words(share: Estimate) -> str:
    return f"{share.value:.4f} [{share.low:.4f}, {share.high:.4f}]"
