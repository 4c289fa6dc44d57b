"""A family's variants, each asked all held-out texts and timed on this machine.

It does not know which of them a cascade takes.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from models.cascade.candidates import Answers, Chain, Problem, Selection, judged
from models.cascade.costs import Costs, cores, measured
from models.cascade.text_sets import HeldOut, data_folder, read_halves, read_held_out
from models.data.labelled import LabelSet, read_labels
from models.evaluation.predictions import Answerer, predicted
from models.evaluation.statistics import Flags, right
from models.recipe import RecipeError
from serving.bundles.bundle import Bundle, Manifest
from serving.bundles.cascade import Target
from serving.bundles.registry import read_registry
from serving.errors import SizewiseError
from serving.inference.engine import Resources
from serving.inference.engine_selection import EngineName, choose
from serving.inference.tokenizer import open_tokenizer

BATCH_TEXTS = 8
_MOST_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Asked:
    """A family's variants with their answers to the texts to order, test and judge by.

    `askable` are the names of those that a cascade may have.
    """

    manifests: list[Manifest]
    texts: tuple[HeldOut, HeldOut, HeldOut]
    answers: tuple[Answers, Answers, Answers]
    costs: Costs
    askable: Collection[str]

    def problem(self, target: Target) -> Problem:
        """What is to be guaranteed, against the variant of the most bytes."""
        largest = int(np.argmax([manifest.bytes for manifest in self.manifests]))
        kind = self.manifests[largest].problem_type
        askable = (at for at, each in enumerate(self.manifests) if each.variant in self.askable)
        return Problem(target, kind, largest, self.costs.batched_s, tuple(askable))

    def hits(self, selection: Selection, problem: Problem) -> Callable[[Chain], Flags]:
        """Which texts of the test split a chain gets right, of shape (texts,)."""
        judging, kind = self.answers[2], problem.problem_type
        each = np.stack([right(judging.truth, predicted(x, kind)) for x in judging.logits])
        texts = judged(judging, selection.calibrations, problem)
        return lambda chain: each[texts.answering(chain), np.arange(each.shape[1])]


def ask(
    family: str,
    registry: Path,
    build: Path,
    target: Target,
    *,
    variants: Collection[str] = (),
    recalibrate: Path | None = None,
    engine: EngineName | Literal["auto"] = "auto",
) -> Asked:
    """Run every variant, or those named and the largest, on the held-out texts, and time them.

    `recalibrate` is a table of texts to order and test by, in place of the family's. `engine` is
    what runs them; `auto` is what serving would choose on this machine.
    Raises RecipeError when texts or variants are missing, BundleError when one is broken.
    """
    bundles = _bundles(family, registry, variants)
    data = data_folder(family, build)
    labels = read_labels(data)
    if recalibrate:
        ordered, tested = read_halves(recalibrate, labels, target.loss)
    else:
        ordered, tested = (read_held_out(data, split) for split in ("validation", "calibration"))
    texts = (ordered, tested, read_held_out(data, "test"))
    loaded = _load(bundles, labels, engine)
    askable = set(variants or loaded) & set(loaded)
    if len(askable) < 2:
        raise RecipeError(
            f"{registry / family} has {len(askable)} variants that can be asked in turn, and a "
            f"cascade needs two: run `python -m models all`"
        )
    answers = _answers(list(loaded.values()), texts)
    costs = measured(loaded, tested.texts)
    manifests = [bundle.manifest for bundle in bundles if bundle.manifest.variant in loaded]
    return Asked(manifests, texts, answers, costs, askable)


def _bundles(family: str, registry: Path, variants: Collection[str]) -> list[Bundle]:
    """The named ones, or all, and always the largest: what a cascade must not lose against."""
    families = read_registry(registry)
    if family not in families:
        raise RecipeError(f"{registry} has no family {family}: there are {', '.join(families)}")
    *smaller, largest = families[family]
    names = [bundle.manifest.variant for bundle in families[family]]
    if unknown := set(variants) - set(names):
        raise RecipeError(
            f"{registry / family} has no {', '.join(sorted(unknown))}: there are {', '.join(names)}"
        )
    return [b for b in smaller if not variants or b.manifest.variant in variants] + [largest]


def _load(
    bundles: Sequence[Bundle], labels: LabelSet, engine: EngineName | Literal["auto"]
) -> dict[str, Answerer]:
    """Those that this machine can run and that answer what the texts are labelled with."""
    loaded = {}
    for bundle in bundles:
        manifest = bundle.manifest
        answers = (tuple(manifest.labels), manifest.problem_type)
        if answers != (labels.names, labels.problem_type) or manifest.pairs or manifest.tensors:
            print(f"{manifest.variant} is left out: it reads or answers something else")
            continue
        try:
            chosen = choose(
                bundle,
                open_tokenizer(bundle),
                engine,
                Resources("cpu", cores()),
                max_batch_tokens=_MOST_BATCH_TOKENS,
            )
        except SizewiseError as error:
            print(f"{manifest.variant} is left out: {error}")
            continue
        print(f"{manifest.variant} runs on {chosen.name}: {chosen.reason}")
        loaded[manifest.variant] = Answerer(bundle, chosen.engine)
    return loaded


def _answers(
    answerers: Sequence[Answerer], held_out: tuple[HeldOut, HeldOut, HeldOut]
) -> tuple[Answers, Answers, Answers]:
    """Of each variant to all texts, in batches of 8 as in traffic, for batch-mates matter."""
    texts = [text for part in held_out for text in part.texts]
    ends = np.cumsum([len(part.texts) for part in held_out])[:-1]
    logits = np.stack([answerer.logits(texts, BATCH_TEXTS) for answerer in answerers])
    ordered, tested, judging = (
        Answers(part.truth, own)
        for part, own in zip(held_out, np.split(logits, ends, axis=1), strict=True)
    )
    return ordered, tested, judging
