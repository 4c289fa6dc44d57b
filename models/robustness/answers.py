"""A variant's logits on texts, kept in files, so that a run that was killed goes on."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from models.evaluation.predictions import Predictor, kind_of
from models.evaluation.statistics import Floats
from models.published.measuring import running
from models.published.publishing import bundles_of
from serving.bundles.bundle import Bundle
from serving.bundles.ranking import ranked
from serving.errors import BundleError


class Variant:
    """A bundle that runs on texts, each alone in its batch; loaded once it must answer."""

    def __init__(self, bundle: Bundle, kept: Path | None) -> None:
        """`kept` is the folder of what was answered, by version and texts; None keeps nothing."""
        self.bundle, self.manifest = bundle, bundle.manifest
        self.problem_type = kind_of(bundle.manifest)
        self._kept = kept

    @cached_property
    def _predictor(self) -> Predictor:
        return Predictor(self.bundle)

    def logits(self, texts: Sequence[str]) -> Floats:
        """Return the logits, (texts, labels), not a number for a text without tokens.

        Raises BundleError when the engine fails.
        """
        asked = json.dumps([self.manifest.version, list(texts)]).encode()
        path = self._kept and self._kept / f"{hashlib.sha256(asked).hexdigest()}.npy"
        shape = (len(texts), len(self.manifest.labels))
        if path and path.exists():
            found = np.load(path, allow_pickle=False)
            if found.shape == shape:
                return np.asarray(found, dtype=np.float64)
        logits = np.full(shape, np.nan)
        with running(self.bundle):
            able = self._predictor.lengths(texts) > 0
            if able.any():
                said = [text for text, has in zip(texts, able, strict=True) if has]
                logits[able] = self._predictor.logits(said, shown=False)
        if path:
            _write(path, logits)
        return logits


def _write(path: Path, logits: Floats) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_suffix(f".{os.getpid()}")
    with staged.open("wb") as file:
        np.save(file, logits)
    staged.replace(path)


def variants_of(
    target: str, registry: Path, cache: Path, reference: str, tell: Callable[[str], None]
) -> tuple[dict[str, Variant], list[str], str]:
    """Return variants that run, the best first; the names that were asked for; the reference.

    What they answer is kept in `cache`; without a `reference` it is the first in order of
    precision. Raises BundleError if it does not exist.
    """
    family = target.partition("/")[0]
    every = {each.manifest.variant: each for each in bundles_of(family, registry)}
    order = [m.variant for m in ranked([each.manifest for each in every.values()])]
    reference = reference or order[0]
    if reference not in every:
        raise BundleError(f"{family} has no variant {reference!r}: name one of {', '.join(order)}")
    named = {each.manifest.variant for each in bundles_of(target, registry)}
    chosen = [name for name in order if name in named and _alike(every[name], every[reference])]
    for name in sorted(named.difference(chosen)):
        tell(f"{name} is left out: it has other inputs or labels than {reference}")
    kept = cache / family
    running = [name for name in order if name in {*chosen, reference}]
    return {name: Variant(every[name], kept) for name in running}, chosen, reference


def _alike(bundle: Bundle, other: Bundle) -> bool:
    """Whether they read the same texts and have the same labels, if in another order."""
    mine, its = bundle.manifest, other.manifest
    inputs = (mine.problem_type, mine.pairs, mine.tensors) == (
        its.problem_type, its.pairs, its.tensors,
    )  # fmt: skip
    return inputs and {*mine.labels} == {*its.labels}
