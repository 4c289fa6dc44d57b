"""The command `explain`: how faithful a family's explanations are, and how much they agree."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from models.evaluation.faithfulness import (
    RANDOM_ORDERS,
    TOP_WORDS,
    advantages,
    curve_rows,
    rank_correlation,
    top_overlap,
)
from models.evaluation.predictions import Predictor, probabilities
from models.evaluation.statistics import Flags, Floats, bootstrapped
from models.published.publishing import bundles_of
from models.published.texts import Columns, read_texts
from models.recipe import RecipeError
from models.recipe_sections import ProblemType
from models.reports.faithfulness_plot import draw
from models.reports.markdown import UNDEFINED, table
from serving.bundles.bundle import Bundle
from serving.bundles.evaluation import Estimate
from serving.bundles.ranking import ranked
from serving.errors import BundleError
from serving.inference.explanation import Method, Plan, grouped_words, most_groups, perturbed, plan
from serving.inference.words import Word, words_of

FIGURES_NAME, PICTURE_NAME = "explanations.json", "explanations.png"
_FEWEST_GROUPS = 2


@dataclass(frozen=True)
class Wanted:
    """How texts are explained, and how many at most; see ExplainRequest."""

    method: Method
    budget: int
    texts: int


@dataclass(frozen=True)
class Found:
    """A variant's figures, each with its interval over texts; None without another variant."""

    variant: str
    deletion: Estimate
    insertion: Estimate
    rank_correlation: Estimate | None
    top_overlap: Estimate | None


@dataclass(frozen=True)
class _Planned:
    text: str
    groups: list[list[Word]]
    plan: Plan

    def without(self, kept: Flags) -> list[str]:
        return perturbed(self.text, self.groups, kept)


class _Variant:
    """A bundle that runs on texts that lack words."""

    def __init__(self, bundle: Bundle) -> None:
        self.manifest = bundle.manifest
        self._predictor = Predictor(bundle)

    def scores(self, texts: Sequence[str]) -> dict[str, Floats]:
        """Return each different text's probabilities, in the order of the labels."""
        manifest = self.manifest
        different = list(dict.fromkeys(texts))
        kind: ProblemType = "multi_label" if manifest.multi_label else "single_label"
        found = probabilities(self._predictor.logits(different), kind, manifest.temperature)
        return dict(zip(different, found, strict=True))

    def contributions(self, planned: Sequence[_Planned], labels: Sequence[str]) -> list[Floats]:
        texts = [each.without(each.plan.kept) for each in planned]
        scores = self.scores([text for its in texts for text in its])
        found = []
        for each, its, label in zip(planned, texts, labels, strict=True):
            place = self.manifest.labels.index(label)
            found.append(each.plan.contributions(np.array([scores[t][place] for t in its])))
        return found

    def advantages(
        self, planned: Sequence[_Planned], labels: Sequence[str], contributions: Sequence[Floats]
    ) -> Floats:
        """Return each text's advantages, of shape (texts, 2)."""
        rows = [curve_rows(each, seed) for seed, each in enumerate(contributions)]
        texts = [
            each.without(its.reshape(-1, its.shape[-1]))
            for each, its in zip(planned, rows, strict=True)
        ]
        scores = self.scores([text for its in texts for text in its])
        found = []
        for its, its_rows, label in zip(texts, rows, labels, strict=True):
            place = self.manifest.labels.index(label)
            curves = np.array([scores[text][place] for text in its])
            found.append(advantages(curves.reshape(its_rows.shape[:-1])))
        return np.array(found)


def explain(
    target: str,
    files: Sequence[Path],
    columns: Columns,
    registry: Path,
    *,
    output: Path,
    wanted: Wanted,
    tell: Callable[[str], None] = print,
) -> None:
    """Measure the explanations of FAMILY's variants, or of FAMILY/VARIANT, into `output`.

    Explained is the label that the family's first variant in order of precision predicts, which is
    also the one that others are compared with. Raises RecipeError or BundleError in a sentence.
    """
    family = target.partition("/")[0]
    every = {each.manifest.variant: each for each in bundles_of(family, registry)}
    order = [m.variant for m in ranked([each.manifest for each in every.values()])]
    reference = every[order[0]]
    if reference.manifest.pairs:
        raise BundleError(f"{family} reads pairs of texts: only single texts can be explained")
    planned = _planned(read_texts(files, columns, reference).texts, wanted)
    chosen = {each.manifest.variant: each for each in bundles_of(target, registry)}
    first = _Variant(reference)
    scores = first.scores([each.text for each in planned])
    names = reference.manifest.labels
    labels = [names[int(scores[each.text].argmax())] for each in planned]
    expected = first.contributions(planned, labels)
    found = []
    for name in (each for each in order if each in chosen):
        variant = first if name == order[0] else _Variant(chosen[name])
        own = expected if variant is first else variant.contributions(planned, labels)
        gained = variant.advantages(planned, labels, own)
        others = [] if variant is first else list(zip(own, expected, strict=True))
        found.append(
            Found(
                name,
                _mean(gained[:, 0]),
                _mean(gained[:, 1]),
                _mean_of([rank_correlation(*pair) for pair in others]),
                _mean_of([top_overlap(*pair) for pair in others]),
            )
        )
    tell(_markdown(found, order[0]))
    of = asdict(wanted) | {"texts": len(planned), "random_orders": RANDOM_ORDERS}
    _write({"family": family, "reference": order[0]} | of, found, output)
    tell(f"Wrote {output / PICTURE_NAME} and {output / FIGURES_NAME}")


def _planned(texts: Sequence[object], wanted: Wanted) -> list[_Planned]:
    planned = []
    for text in dict.fromkeys(map(str, texts)):
        groups = grouped_words(words_of(text), most_groups(wanted.method, wanted.budget))
        if len(groups) >= _FEWEST_GROUPS:
            its_plan = plan(wanted.method, len(groups), wanted.budget)
            planned.append(_Planned(text, groups, its_plan))
        if len(planned) == wanted.texts:
            break
    if not planned:
        raise RecipeError("--data has no text of two words: there is no order to measure")
    return planned


def _mean(values: Floats) -> Estimate:
    return bootstrapped(lambda at: float(values[at].mean()), len(values))


def _mean_of(values: Sequence[float | None]) -> Estimate | None:
    known = np.array([each for each in values if each is not None])
    return _mean(known) if known.size else None


def _markdown(found: Sequence[Found], reference: str) -> str:
    header = (
        "variant", "deletion against random", "insertion against random",
        f"rank correlation with {reference}", f"overlap of {TOP_WORDS} words with {reference}",
    )  # fmt: skip
    rows = [
        (
            each.variant,
            *map(
                _in_words,
                (each.deletion, each.insertion, each.rank_correlation, each.top_overlap),
            ),
        )
        for each in found
    ]
    return table(header, rows)


def _in_words(estimate: Estimate | None) -> str:
    if estimate is None:
        return UNDEFINED
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _write(of: Mapping[str, object], found: Sequence[Found], output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    variants = [
        {
            name: value.model_dump(mode="json") if isinstance(value, Estimate) else value
            for name, value in vars(each).items()
        }
        for each in found
    ]
    (output / FIGURES_NAME).write_text(json.dumps({**of, "variants": variants}, indent=2))
    curves = {each.variant: (each.deletion, each.insertion) for each in found}
    draw(f"{of['family']}: explanations by {of['method']}", curves, output / PICTURE_NAME)
