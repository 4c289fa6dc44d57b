"""Folders as users have them: tiny random classifiers of transformers, exported by torch."""

import warnings
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
)

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = "good bad film plot the a was not very dull warm one two three".split()  # noqa: SIM905
VOCABULARY = {word: index for index, word in enumerate((*SPECIAL, *WORDS))}
SHAPE = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.3,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def export_folder(
    folder: Path,
    config: PretrainedConfig | None = None,
    *,
    graph: str = "model.onnx",
    inputs: tuple[str, ...] = INPUTS,
    added_tokens: tuple[str, ...] = (),
    ends_in: str | None = None,
    outputs: tuple[str, ...] = ("logits",),
    **settings: object,
) -> torch.nn.Module:
    """Write what save_pretrained and an exporter leave; `settings` are the tokenizer's.

    The graph `ends_in` softmax, "exp and div", tanh or percent; `outputs` may name `class` besides.
    """
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(
        config or BertConfig(**SHAPE), attn_implementation="eager"
    ).eval()
    model.save_pretrained(folder)
    _tokenizer(added_tokens, settings).save_pretrained(folder)
    export(model, folder / graph, inputs, ends_in, outputs)
    return model


def export(
    model: torch.nn.Module,
    path: Path,
    inputs: tuple[str, ...] = INPUTS,
    ends_in: str | None = None,
    outputs: tuple[str, ...] = ("logits",),
) -> None:
    """Write the graph of a model with dynamic axes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = torch.full((2, 8), 5)
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids),
             "token_type_ids": torch.zeros_like(ids)}  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Outputs(model, inputs, ends_in, outputs),
            tuple(given[name] for name in inputs),
            path,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: {0: "batch", 1: "tokens"} for name in inputs}
            | {name: {0: "batch"} for name in outputs},
            opset_version=17,
            dynamo=False,
        )


class _Outputs(torch.nn.Module):
    def __init__(self, model, inputs, ends_in, outputs):
        super().__init__()
        self.model, self.inputs, self.ends_in, self.outputs = model, inputs, ends_in, outputs

    def forward(self, *tensors):
        logits = self.model(**dict(zip(self.inputs, tensors, strict=True))).logits
        if self.ends_in == "softmax":
            logits = logits.softmax(-1)
        elif self.ends_in == "exp and div":
            terms = (logits - logits.amax(-1, keepdim=True)).exp()
            logits = terms * (1 / terms.sum(-1, keepdim=True))
        elif self.ends_in == "percent":
            logits = 100 * logits.softmax(-1)
        elif self.ends_in == "tanh":
            logits = 0.5 + 0.5 * (0.5 * logits).tanh()
        found = {"class": logits.argmax(-1)}
        return tuple(found.get(name, logits) for name in self.outputs)


def _tokenizer(added_tokens, settings):
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.add_tokens(list(added_tokens))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]", **settings,
    )  # fmt: skip
