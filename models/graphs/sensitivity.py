"""How much each operator's number format changes a graph's logits.

It does not know how much is too much.
"""

import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from models.evaluation.predictions import Answerer
from models.progress import progress
from serving.bundles.bundle import TOKENIZER_NAME, Bundle


def most_sensitive_first(
    operators: Sequence[str],
    quantise: Callable[[Path, Collection[str]], None],
    source: Bundle,
    texts: Sequence[str],
) -> list[str]:
    """The operators by how far the logits move when that one alone is quantised.

    `quantise(target, kept)` writes the graph with the operators `kept` left alone. The distance
    is the mean square, over texts and labels, from the logits of the graph with all kept.
    """
    moved = {}
    with tempfile.TemporaryDirectory() as scratch:
        trial = Bundle(Path(scratch), source.manifest)
        shutil.copyfile(source.tokenizer_path, trial.folder / TOKENIZER_NAME)
        quantise(trial.model_path, operators)
        expected = Answerer(trial).logits(texts)
        for name in progress(operators, does="sensitivity", units="operators"):
            quantise(trial.model_path, [other for other in operators if other != name])
            moved[name] = float(((Answerer(trial).logits(texts) - expected) ** 2).mean())
    return sorted(operators, key=lambda name: -moved[name])
