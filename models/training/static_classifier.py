"""A static classifier: token embeddings, their mean, and a small head; no attention.

As in model2vec (Tulkens and van Dongen 2024) a token's weight is the length of its embedding.
Products of neighbours' embeddings let the head tell "not good" from "good", which a mean of single
tokens cannot.
"""

from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

_DROPOUT = 0.1
_SPREAD = 0.1


class StaticConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """The sizes of a static classifier, beside its labels."""

    model_type = "sizewise-static"

    def __init__(
        self, vocab_size: int = 0, width: int = 64, units: int = 32, **others: Any
    ) -> None:
        super().__init__(**others)
        self.vocab_size = vocab_size
        self.width = width
        self.units = units


class StaticClassifier(PreTrainedModel):  # type: ignore[no-untyped-call]
    """The classifier in torch, called as those of transformers are.

    A text is the mean of its tokens' embeddings beside the mean of the products of each two
    neighbours'.
    """

    config_class = StaticConfig
    base_model_prefix = "static"

    def __init__(self, config: StaticConfig) -> None:
        super().__init__(config)
        self.embeddings = torch.nn.Embedding(config.vocab_size, config.width)
        self.head = torch.nn.Sequential(
            torch.nn.Dropout(_DROPOUT),
            torch.nn.Linear(2 * config.width, config.units),
            torch.nn.ReLU(),
            torch.nn.Dropout(_DROPOUT),
            torch.nn.Linear(config.units, len(config.id2label or {})),
        )
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: torch.nn.Module) -> None:
        if isinstance(module, torch.nn.Linear):
            module.reset_parameters()
        elif isinstance(module, torch.nn.Embedding):
            torch.nn.init.normal_(module.weight, std=_SPREAD)

    def start_from(self, answers: torch.Tensor) -> None:
        """Start each token's embedding from a teacher's logits for it, (tokens, labels).

        They fill the first dimensions, scaled to a mean square of 1.
        """
        centred = answers - answers.mean(0)
        centred = centred[:, : self.embeddings.embedding_dim]
        with torch.no_grad():
            self.embeddings.weight[:, : centred.shape[1]] = centred / centred.square().mean().sqrt()

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any
    ) -> SequenceClassifierOutput:
        """Compute logits (texts, labels) from ids and mask, both (texts, tokens)."""
        tokens = self.embeddings(input_ids)
        previous = torch.nn.functional.pad(tokens, (0, 0, 1, 0))[:, :-1]
        features = torch.cat([tokens, tokens * previous], dim=-1)
        # Padding is at the end, where it is previous to no token.
        mask = attention_mask.to(features.dtype)
        total = torch.bmm(mask.unsqueeze(1), features).squeeze(1)
        return SequenceClassifierOutput(logits=self.head(total / mask.sum(1, keepdim=True)))
