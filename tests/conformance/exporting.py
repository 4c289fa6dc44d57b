"""Exports a classifier as its users do: torch.onnx.export with what the tokenizer gives.

It does not know what becomes of the graph.
"""

import inspect
import warnings

import torch

from models.library_errors import first_line

OPSET = 17
EXAMPLE = [("a warm film", "the plot was dull"), ("a superb camera with a noisy battery", "bien")]


class NotExportable(Exception):
    """Why torch cannot write the model as an ONNX graph, in its own words."""


class _Logits(torch.nn.Module):
    def __init__(self, model, names, answer):
        super().__init__()
        self.model, self.names, self.answer = model, names, answer

    def forward(self, *values):
        given = dict(zip(self.names, values, strict=True))
        return self.answer(self.model(**given))


def input_names(model, tokenizer):
    """What the tokenizer gives and the model takes, in the usual order."""
    taken = inspect.signature(model.forward).parameters
    usual = ("input_ids", "attention_mask", "token_type_ids")
    return [name for name in usual if name in taken and name in tokenizer.model_input_names]


def export(
    model,
    tokenizer,
    path,
    *,
    answer=lambda output: output.logits,
    outputs=("logits",),
    kind=torch.int64,
    fixed=(),
    positions=False,
):
    """Write the graph: `answer` of the model's output, with inputs of the type `kind`.

    The axes `fixed` ("batch", "tokens") have the example's size; with `positions` the graph takes
    position_ids too. Raises NotExportable.
    """
    names = input_names(model, tokenizer)
    example = tokenizer(*map(list, zip(*EXAMPLE, strict=True)), **_padding(fixed))
    if positions:
        names.append("position_ids")
        tokens = example["input_ids"]
        example["position_ids"] = torch.arange(tokens.shape[1]).expand(tokens.shape).clone()
    model.config.use_cache = False
    axes = {at: name for at, name in enumerate(("batch", "tokens")) if name not in fixed}
    rows = {} if "batch" in fixed else {0: "batch"}
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Logits(model, names, answer).eval(),
                tuple(example[name].to(kind) for name in names),
                path,
                input_names=names,
                output_names=list(outputs),
                dynamic_axes=dict.fromkeys(names, axes) | dict.fromkeys(outputs, rows),
                opset_version=OPSET,
                dynamo=False,
            )
    except Exception as error:  # torch raises many bare types
        raise NotExportable(
            f"torch cannot export {type(model).__name__} to ONNX: {first_line(error)}"
        ) from error


def _padding(fixed):
    """The example is as long as the model reads where the axis of tokens is fixed."""
    return {"padding": "max_length" if "tokens" in fixed else True, "return_tensors": "pt"}
