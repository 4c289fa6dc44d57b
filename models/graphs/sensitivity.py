"""Ranks a graph's operators by how much quantizing each one changes the logits."""

import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from models.evaluation.predictions import Predictor
from models.progress import progress
from serving.bundles.bundle import TOKENIZER_NAME, Bundle
from serving.errors import BundleError


def by_sensitivity(
    operators: Sequence[str],
    quantize: Callable[[Path, Collection[str]], None],
    source: Bundle,
    texts: Sequence[str],
) -> list[str]:
    """Sort the operators by how far quantizing that one alone moves the logits, farthest first.

    `quantize(output, kept)` writes the graph without quantizing the operators `kept`. The distance
    is the mean squared difference, over texts and labels, from the logits of the graph with all
    operators kept.
    """
    moved = {}
    with tempfile.TemporaryDirectory() as scratch:
        trial = Bundle(Path(scratch), source.manifest)
        shutil.copyfile(source.tokenizer_path, trial.folder / TOKENIZER_NAME)
        try:
            quantize(trial.model_path, operators)
            expected = Predictor(trial).logits(texts)
            for name in progress(operators, does="sensitivity", units="operators"):
                quantize(trial.model_path, [other for other in operators if other != name])
                moved[name] = float(((Predictor(trial).logits(texts) - expected) ** 2).mean())
        except BundleError as error:
            raise BundleError(
                f"{source.folder}, quantized: {str(error).replace(scratch, '').lstrip('/')}"
            ) from error
    return sorted(operators, key=lambda name: -moved[name])
