"""Compares an imported classifier with transformers, which reads its folder of weights."""

from pathlib import Path
from typing import Any

import numpy as np

from serving.bundles.bundle import Bundle
from serving.bundles.files import listed
from serving.errors import BundleError, EngineFailed
from serving.inference.cpu import usable_cores
from serving.inference.engine import Resources
from serving.inference.engine_selection import ENGINES, reference
from serving.inference.inputs import Encoding
from serving.inference.tokenizer import open_tokenizer

_SENTENCE = "the service was quick and friendly but our second order came late and cold"
_TEXTS = (
    "good", "Not bad at ALL!", "12.50 € for très bien?", _SENTENCE, "Warum  denn nicht?\n",
)  # fmt: skip
# By how much logits may differ, as a share of the largest; quantized weights differ by design.
_TOLERANCES = {"fp32": 1e-3, "fp16": 0.02, "bf16": 0.05}


def compare(bundle: Bundle, folder: Path) -> str:
    """Compare labels, tokens, truncation and logits with those of transformers; say how equal.

    Raises BundleError if they differ.
    """
    try:
        import torch  # noqa: PLC0415
        import transformers  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise BundleError(
            f"--reference needs {error.name}: pip install 'sizewise[models]', or leave it out"
        ) from error
    manifest = bundle.manifest
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32
        ).eval()
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(f"--reference: transformers cannot load {folder}: {error}") from error
    names = [model.config.id2label[index] for index in range(model.config.num_labels)]
    if names != manifest.labels:
        raise BundleError(
            f"--reference: {folder} has the labels {listed(names)}, not {listed(manifest.labels)}"
        )
    ours = open_tokenizer(bundle)
    assert ours is not None, "a model of tensors has no folder"
    engine = ENGINES[reference(bundle)](bundle, Resources("cpu", usable_cores(), slots=1))
    # Which end is cut shows in the tokens.
    long = " ".join(["first", *[_SENTENCE] * (manifest.max_length // 8 + 1), "the end was good"])
    worst, largest, moved = 0.0, 1.0, 0
    for text in (*_TEXTS, long):
        given = (text, _TEXTS[0]) if manifest.pairs else text
        pieces = given if isinstance(given, tuple) else (given,)
        theirs = tokenizer(
            *pieces, truncation=True, max_length=manifest.max_length, return_tensors="pt"
        )
        (encoding,) = ours.encode([given])
        _check_tokens(text, encoding, theirs, folder)
        with torch.no_grad():
            expected = model(**theirs).logits.float().numpy()
        try:
            logits = engine.run([encoding])
        except EngineFailed as error:
            raise BundleError(f"{bundle.model_path}: {error}") from error
        expected = _as_answered(expected, bundle)
        worst = max(worst, float(np.abs(logits - expected).max()))
        largest = max(largest, float(np.abs(expected).max()))
        moved += int(_decision(logits, bundle) != _decision(expected, bundle))
    return _verdict(bundle, folder, worst, largest, moved)


def _check_tokens(text: str, encoding: Encoding, theirs: Any, folder: Path) -> None:
    """Raise BundleError unless the token ids are those of transformers."""
    expected = theirs["input_ids"][0].tolist()
    if list(encoding.ids) != expected:
        cut = " of a text that is truncated" if encoding.truncated else ""
        raise BundleError(
            f"--reference: {folder} reads the tokens {expected[:20]}{cut}, not "
            f"{list(encoding.ids)[:20]}, in {text[:40]!r}: use the tokenizer.json that "
            "transformers writes (AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER))"
        )


def _as_answered(logits: np.ndarray, bundle: Bundle) -> np.ndarray:
    """Return logits as far as they survive a softmax inside the graph."""
    manifest = bundle.manifest
    if manifest.graph_output == "logits" or manifest.problem_type != "single_label":
        return logits
    top = logits.max(axis=1, keepdims=True)
    shifted: np.ndarray = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    return shifted


def _decision(logits: np.ndarray, bundle: Bundle) -> object:
    if bundle.manifest.problem_type == "single_label" and logits.shape[1] > 1:
        return int(logits.argmax())
    return (logits > 0).tolist() if bundle.manifest.problem_type == "multi_label" else None


def _verdict(bundle: Bundle, folder: Path, worst: float, largest: float, moved: int) -> str:
    texts = len(_TEXTS) + 1
    tolerance = _TOLERANCES.get(bundle.manifest.precision)
    measured = f"logits differ by up to {worst:.1e} from those of {folder} on {texts} texts"
    if tolerance and worst > tolerance * largest:
        raise BundleError(
            f"--reference: {measured}, more than {tolerance * largest:.1e}: export the graph from "
            "these weights"
        )
    if moved:
        raise BundleError(f"--reference: {measured}, and {moved} of them get other labels")
    return f"{measured}; labels, tokens and truncation are the same"
