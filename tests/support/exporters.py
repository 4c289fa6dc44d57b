"""ONNX graphs of tiny random classifiers, as the usual exporters write them.

Imported lazily by tests that have torch.
"""

from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel

AXES = {0: "batch_size", 1: "sequence_length"}


def tiny_model(config: PretrainedConfig, *, attention: str = "eager") -> PreTrainedModel:
    """A random classifier of three labels, the same each time."""
    torch.manual_seed(0)
    config.id2label = {0: "dull", 1: "fair", 2: "fine"}
    config.label2id = {name: index for index, name in config.id2label.items()}
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation=attention)
    return model.eval()


class _Logits(torch.nn.Module):
    def __init__(self, model, names):
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *inputs):
        return self.model(**dict(zip(self.names, inputs, strict=True))).logits


def export(
    model: torch.nn.Module, path: Path, *, dynamo: bool, opset: int, segments: bool = False
) -> None:
    """Export with the inputs, names and axes that Optimum gives."""
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if segments else [])]
    ids = torch.full((2, 16), 5)
    inputs = (ids, torch.ones_like(ids), torch.zeros_like(ids))[: len(names)]
    if dynamo:
        dimensions = {
            0: torch.export.Dim("batch_size"), 1: torch.export.Dim("sequence_length", max=64),
        }  # fmt: skip
        dynamic = {"dynamic_shapes": {"inputs": (dimensions,) * len(names)}}
    else:
        dynamic = {"dynamic_axes": {**dict.fromkeys(names, AXES), "logits": {0: "batch_size"}}}
    torch.onnx.export(
        _Logits(model, names).eval(), inputs, path, input_names=names, output_names=["logits"],
        dynamo=dynamo, opset_version=opset, external_data=False, verbose=False, **dynamic,
    )  # fmt: skip
    # torch leaves it on, and the next export that fails prints its graph.
    torch._C._jit_set_onnx_log_enabled(False)  # noqa: SLF001
