"""A static classifier: token embeddings, their mean, and a linear head; no attention.

As in model2vec (Tulkens and van Dongen 2024) a token's weight is the length of its embedding.
Products of near tokens' embeddings let the head tell "not good" and "not very good" from "good",
which a mean of single tokens cannot.
"""

from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

_DROPOUT = 0.1
_REACH = 2
"""How far apart the tokens of a product are at most."""
_SPREAD = 0.1


class StaticConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """The sizes of a static classifier, beside its labels."""

    model_type = "sizewise-static"

    def __init__(self, vocab_size: int = 0, width: int = 64, **others: Any) -> None:
        super().__init__(**others)
        self.vocab_size = vocab_size
        self.width = width


class StaticClassifier(PreTrainedModel):  # type: ignore[no-untyped-call]
    """The classifier in torch, called as those of transformers are.

    A text is the mean of its tokens' embeddings, and of their products with those of the token
    before it and of the one before that.
    """

    config_class = StaticConfig
    base_model_prefix = "static"

    def __init__(self, config: StaticConfig) -> None:
        super().__init__(config)
        self.embeddings = torch.nn.Embedding(config.vocab_size, config.width)
        self.head = torch.nn.Sequential(
            torch.nn.Dropout(_DROPOUT),
            torch.nn.Linear((1 + _REACH) * config.width, len(config.id2label or {})),
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
        centred = (answers - answers.mean(0))[:, : self.embeddings.embedding_dim]
        scale = centred.square().mean().sqrt()
        if scale > 0:
            with torch.no_grad():
                self.embeddings.weight[:, : centred.shape[1]] = centred / scale

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any
    ) -> SequenceClassifierOutput:
        """Compute logits (texts, labels) from ids and mask, both (texts, tokens)."""
        tokens = self.embeddings(input_ids)
        # Padding is at the end, where it comes before no token.
        before = (
            torch.nn.functional.pad(tokens, (0, 0, steps, 0))[:, :-steps]
            for steps in range(1, _REACH + 1)
        )
        features = torch.cat([tokens, *(tokens * each for each in before)], dim=-1)
        mask = attention_mask.to(features.dtype)
        total = torch.bmm(mask.unsqueeze(1), features).squeeze(1)
        return SequenceClassifierOutput(logits=self.head(total / mask.sum(1, keepdim=True)))
