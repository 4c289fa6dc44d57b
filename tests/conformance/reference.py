"""What transformers answers: its tokenizer's output, its model's logits, its pipeline's scores."""

import inspect
from dataclasses import dataclass

import numpy as np
import torch
from transformers import TextClassificationPipeline


@dataclass(frozen=True)
class Expected:
    """The answer to one text or pair alone; `logits` are None where transformers cannot answer.

    `types` are None where the tokenizer gives none.
    """

    ids: list[int]
    types: list[int] | None
    full_length: int
    logits: np.ndarray | None
    scores: dict[str, float]


class Reference:
    """One classifier of transformers, asked one text at a time, as its pipeline does by default."""

    def __init__(self, model, tokenizer):
        self._model, self._tokenizer = model, tokenizer
        self._pipeline = TextClassificationPipeline(model=model, tokenizer=tokenizer, device="cpu")
        self._parameters = inspect.signature(model.forward).parameters
        self._known = {}

    def answers(self, texts):
        """What it answers to each of the texts or pairs, in order."""
        for text in texts:
            if text not in self._known:
                self._known[text] = self._answer(text)
        return [self._known[text] for text in texts]

    def logits(self, texts):
        """The logits of each text alone."""
        return [each.logits for each in self.answers(texts)]

    def together(self, texts):
        """The logits of a batch, padded as the tokenizer pads."""
        columns = zip(*map(_parts, texts), strict=True)
        tensors = self._tokenizer(
            *map(list, columns), truncation=True, padding=True, return_tensors="pt"
        )
        with torch.no_grad():
            return self._model(**self._taken(tensors)).logits.numpy()

    def _answer(self, text):
        parts = _parts(text)
        whole = self._tokenizer(*parts, truncation=False, verbose=False)["input_ids"]
        given = self._tokenizer(*parts, truncation=True)
        ids = given["input_ids"]
        types = given.get("token_type_ids")
        logits, scores = None, {}
        if ids:
            tensors = self._tokenizer(*parts, truncation=True, return_tensors="pt")
            with torch.no_grad():
                logits = self._model(**self._taken(tensors)).logits[0].numpy()
            asked = {"text": parts[0], "text_pair": parts[1]} if len(parts) == 2 else parts[0]
            told = self._pipeline(asked, truncation=True, top_k=None)
            scores = {each["label"]: each["score"] for each in told}
        return Expected(ids, types, len(whole), logits, scores)

    def _taken(self, tensors):
        return {name: value for name, value in tensors.items() if name in self._parameters}


def _parts(text):
    return text if isinstance(text, tuple) else (text,)
