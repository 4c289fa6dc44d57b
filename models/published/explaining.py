"""The command `explain`: how faithful a family's explanations are, and how much they agree."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.evaluation.faithfulness import (
    RANDOM_ORDERS,
    SHARES,
    advantages,
    curve_rows,
    rank_correlation,
    reported,
    top_overlap,
)
from models.evaluation.predictions import Predictor, kind_of, probabilities
from models.evaluation.statistics import Flags, Floats, bootstrapped
from models.published.publishing import bundles_of, publish_measured
from models.published.texts import Columns, UserTexts, read_texts
from models.recipe import RecipeError
from models.reports.faithfulness_plot import draw
from models.reports.faithfulness_tables import summary
from serving.bundles.bundle import CARD_NAME, Bundle
from serving.bundles.evaluation import CurvePoint, Estimate, Explanations
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
        kind = kind_of(manifest)
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

    def curves(
        self, planned: Sequence[_Planned], labels: Sequence[str], contributions: Sequence[Floats]
    ) -> list[Floats]:
        """Return each text's scores along its `curve_rows`."""
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
            found.append(curves.reshape(its_rows.shape[:-1]))
        return found


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
    """Measure the explanations of FAMILY's variants, or of FAMILY/VARIANT.

    The figures go into `output`, then into each variant's manifest and card in the registry.
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
    same = {
        "reference": order[0],
        "reference_version": reference.manifest.version,
        "method": wanted.method,
        "budget": wanted.budget,
        "texts_sha256": UserTexts([each.text for each in planned], []).sha256,
        "n": len(planned),
        "random_orders": RANDOM_ORDERS,
    }
    found = {}
    for name in (each for each in order if each in chosen):
        variant = first if name == order[0] else _Variant(chosen[name])
        own = expected if variant is first else variant.contributions(planned, labels)
        others = [] if variant is first else list(zip(own, expected, strict=True))
        fields = same | _faithfulness(variant.curves(planned, labels, own)) | _agreement(others)
        found[name] = Explanations.model_validate(fields)
    tell(summary(found))
    _write(family, found, output)
    tell(f"Wrote {output / PICTURE_NAME} and {output / FIGURES_NAME}")
    for name, explanations in found.items():
        done = publish_measured(chosen[name], {"explanations": explanations}, registry, tell)
        tell(f"Wrote {done.path(CARD_NAME)}")


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


def _faithfulness(scores: Sequence[Floats]) -> dict[str, object]:
    gained = np.array([advantages(each) for each in scores])
    # Of shape (texts, orders, 2, shares).
    curves = np.array([reported(each) for each in scores])
    names = (("deletion", "insertion"), ("random_deletion", "random_insertion"))
    points = [
        CurvePoint(
            words=share,
            **{
                name: _mean(curves[:, order, way, at])
                for order, ways in enumerate(names)
                for way, name in enumerate(ways)
            },
        )
        for at, share in enumerate(SHARES)
    ]
    return {"curves": points, "deletion": _mean(gained[:, 0]), "insertion": _mean(gained[:, 1])}


def _agreement(others: Sequence[tuple[Floats, Floats]]) -> dict[str, object]:
    return {
        "rank_correlation": _mean_of([rank_correlation(*pair) for pair in others]),
        "top_overlap": _mean_of([top_overlap(*pair) for pair in others]),
    }


def _mean(values: Floats) -> Estimate:
    return bootstrapped(lambda at: float(values[at].mean()), len(values))


def _mean_of(values: Sequence[float | None]) -> Estimate | None:
    known = np.array([each for each in values if each is not None])
    return _mean(known) if known.size else None


def _write(family: str, found: Mapping[str, Explanations], output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    variants = {name: each.model_dump(mode="json") for name, each in found.items()}
    content = json.dumps({"family": family, "variants": variants}, indent=2)
    (output / FIGURES_NAME).write_text(content)
    method = next(iter(found.values())).method
    areas = {name: (each.deletion, each.insertion) for name, each in found.items()}
    draw(f"{family}: explanations by {method}", areas, output / PICTURE_NAME)
