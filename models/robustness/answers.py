"""A variant's logits on texts, kept in files, so that a run that was killed goes on."""

import hashlib
import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from models.evaluation.predictions import Predictor, kind_of
from models.evaluation.statistics import Floats
from models.published.measuring import running
from serving.bundles.bundle import Bundle


class Variant:
    """A bundle that runs on texts, each alone in its batch; loaded once it must answer."""

    def __init__(self, bundle: Bundle, kept: Path) -> None:
        """`kept` is the folder of what was answered, by version and texts."""
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
        path = self._kept / f"{hashlib.sha256(asked).hexdigest()}.npy"
        shape = (len(texts), len(self.manifest.labels))
        if path.exists():
            found = np.load(path, allow_pickle=False)
            if found.shape == shape:
                return np.asarray(found, dtype=np.float64)
        logits = np.full(shape, np.nan)
        with running(self.bundle):
            able = self._predictor.lengths(texts) > 0
            if able.any():
                said = [text for text, has in zip(texts, able, strict=True) if has]
                logits[able] = self._predictor.logits(said, shown=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_suffix(f".{os.getpid()}")
        with staged.open("wb") as file:
            np.save(file, logits)
        staged.replace(path)
        return logits
