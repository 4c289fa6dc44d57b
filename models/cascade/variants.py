"""Loads a family's variants, each into the engine that serving would choose."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

from models.data.labelled import LabelSet
from models.evaluation.predictions import Predictor
from models.recipe import RecipeError
from serving.bundles.bundle import Bundle
from serving.bundles.registry import read_registry
from serving.bundles.windows import Windows
from serving.errors import SizewiseError
from serving.inference.cpu import usable_cores
from serving.inference.engine import EngineName, Resources
from serving.inference.engine_selection import choose
from serving.inference.tokenizer import open_tokenizer

_MOST_BATCH_TOKENS = 4096


def bundles_of(registry: Path, family: str, variants: Collection[str] = ()) -> list[Bundle]:
    """Read the variants that are named, or all, and always the largest, with which to compare.

    Raises RecipeError when the registry lacks one of them, BundleError when one is broken.
    """
    families = read_registry(registry)
    if family not in families:
        raise RecipeError(f"{registry} has no family {family}: choose from {', '.join(families)}")
    bundles, wanted = families[family], set(variants)
    names = [bundle.manifest.variant for bundle in bundles]
    if unknown := wanted - set(names):
        raise RecipeError(
            f"{registry / family} has no {', '.join(sorted(unknown))}: choose from "
            f"{', '.join(names)}"
        )
    *smaller, largest = bundles
    return [b for b in smaller if not wanted or b.manifest.variant in wanted] + [largest]


def load(
    bundles: Sequence[Bundle],
    labels: LabelSet,
    engine: EngineName | Literal["auto"],
    windows: Windows | None,
) -> dict[str, Predictor]:
    """Load the bundles that this machine can run and that have the texts' labels, by variant.

    Long texts are answered in `windows`, or else truncated.
    """
    loaded = {}
    for bundle in bundles:
        manifest = bundle.manifest
        own = (tuple(manifest.labels), manifest.problem_type)
        if own != (labels.names, labels.problem_type) or manifest.pairs or manifest.tensors:
            print(f"{manifest.variant} is left out: it has other inputs or labels")
            continue
        try:
            choice = choose(
                bundle,
                open_tokenizer(bundle),
                engine,
                Resources("cpu", usable_cores()),
                max_batch_tokens=_MOST_BATCH_TOKENS,
            )
        except SizewiseError as error:
            print(f"{manifest.variant} is left out: {error}")
            continue
        print(f"{manifest.variant} runs on {choice.name}: {choice.reason}")
        loaded[manifest.variant] = Predictor(bundle, choice.engine, choice.name, windows)
    return loaded
