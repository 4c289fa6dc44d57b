"""A bundle's answers to many texts, by serving's own tokenizer and engine.

It does not know whether the answers are right.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from serving.bundle import Bundle
from serving.engine import Engine
from serving.ort_engine import OrtEngine
from serving.tokenizer import Tokenizer


def probabilities(
    bundle: Bundle, texts: Sequence[str], batch_texts: int = 1
) -> npt.NDArray[np.float64]:
    """Of shape (texts, labels), in order; long texts are cut.

    Batches are `batch_texts` neighbours in the given order, padded to the longest. With one text
    a batch no answer depends on another text, as it may in a dynamically quantised graph.
    """
    tokenizer = Tokenizer(bundle.tokenizer_path, bundle.manifest.max_length)
    engine: Engine = OrtEngine(bundle, "cpu", len(os.sched_getaffinity(0)))
    encodings = [encoding.ids for encoding in tokenizer.encode(texts)]
    batches = [encodings[at : at + batch_texts] for at in range(0, len(encodings), batch_texts)]
    with ThreadPoolExecutor(engine.slots) as slots:
        answers = slots.map(engine.run, batches)
        label = f"{bundle.manifest.variant}, {batch_texts} a batch"
        rows = list(tqdm(answers, total=len(batches), desc=label, unit="batch"))
    logits = np.concatenate(rows).astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
