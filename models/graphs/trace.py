"""Traces a torch classifier into an ONNX graph."""

import contextlib
import inspect
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel

from models.graphs.packing import PACKABLE
from models.library_errors import first_line
from models.recipe import RecipeError
from models.training.architecture import text_config

_OPSET = 17


class _Graph(torch.nn.Module):
    """A classifier that reads ids and mask alone: every text is one segment."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.has_segments = _has_segments(model)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Compute logits (texts, labels) from ids and mask, both (texts, tokens)."""
        segments = {"token_type_ids": torch.zeros_like(input_ids)} if self.has_segments else {}
        output = self.model(input_ids=input_ids, attention_mask=attention_mask, **segments)
        logits: torch.Tensor = output.logits
        return logits


def _has_segments(model: PreTrainedModel) -> bool:
    """Tell whether segments have an embedding of their own.

    GPT-2, CTRL and XLM look segments up among the words, so segment 0 is not the same as none.
    """
    return "token_type_ids" in inspect.signature(model.forward).parameters and any(
        "token_type" in name or "seg_embed" in name for name, _ in model.named_parameters()
    )


def trace(model: PreTrainedModel, path: Path) -> None:
    """Write a classifier's graph, from `input_ids` and `attention_mask` to `logits`.

    Raises RecipeError when torch cannot express it in ONNX.
    """
    ids = _example(model.config)
    axes = {0: "texts", 1: "tokens"}
    try:
        with warnings.catch_warnings(), _quiet():
            # The newer exporter's graphs are not recognised by onnxruntime.transformers.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Graph(model).eval(),
                (ids, torch.ones_like(ids)),
                path,
                input_names=["input_ids", "attention_mask"],
                output_names=["logits"],
                dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "texts"}},
                opset_version=_OPSET,
                dynamo=False,
            )
    except Exception as error:  # torch.onnx raises many bare types
        raise RecipeError(
            f"torch cannot export {type(model).__name__} to ONNX: {first_line(error)}: "
            f"{_remedy(model)}"
        ) from error


def _example(config: PretrainedConfig) -> torch.Tensor:
    """Ids of two texts without padding; encoder-decoders look for the token that ends a text."""
    words = text_config(config)
    ids = torch.full((2, 8), 1 if words.pad_token_id == 0 else 0)
    end = getattr(words, "eos_token_id", None)
    if isinstance(end, int) and 0 <= end < words.vocab_size:
        ids[:, -1] = end
    return ids


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep a failing export from printing the whole graph, which torch turns on by mistake."""
    exporter: Any = sys.modules.get("torch.onnx._internal.torchscript_exporter.utils")
    turn_on = getattr(exporter, "setup_onnx_logging", None)
    if turn_on is None:
        yield
        return
    # An export without this left it on.
    torch._C._jit_set_onnx_log_enabled(False)  # noqa: SLF001
    exporter.setup_onnx_logging = lambda _verbose: contextlib.nullcontext()
    try:
        yield
    finally:
        exporter.setup_onnx_logging = turn_on


def _remedy(model: PreTrainedModel) -> str:
    if text_config(model.config).pad_token_id is None:
        return (
            "set `pad_token_id` in its config.json to the id of its padding token, which it needs "
            "to read several texts at once"
        )
    return f"use a model of another architecture, such as {', '.join(PACKABLE)}"
