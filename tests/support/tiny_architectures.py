"""Tiny random classifiers of every architecture that can be adopted, as user's folders.

It does not know what becomes of them.
"""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BartConfig,
    BertConfig,
    CamembertConfig,
    Data2VecTextConfig,
    DebertaConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    ModernBertConfig,
    MPNetConfig,
    PretrainedConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from tests.support.tiny_models import BAD, GOOD, NOUNS

_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
_WORDS = (*_SPECIAL, *GOOD, *BAD, *NOUNS, "the", "was", "a")
_SHAPE = {
    "vocab_size": len(_WORDS),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 66,
    "initializer_range": 0.2,
    "pad_token_id": 1,
}
_POSITIONS = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}

# MiniLM is a BERT by architecture.
ARCHITECTURES: dict[str, PretrainedConfig] = {
    "bert": BertConfig(**_SHAPE),
    "distilbert": DistilBertConfig(
        vocab_size=len(_WORDS),
        dim=32,
        n_layers=2,
        n_heads=2,
        hidden_dim=64,
        max_position_embeddings=66,
        initializer_range=0.2,
        pad_token_id=1,
    ),
    "electra": ElectraConfig(**_SHAPE, embedding_size=16),
    "roberta": RobertaConfig(**_SHAPE, type_vocab_size=1),
    "xlm-roberta": XLMRobertaConfig(**_SHAPE, type_vocab_size=1),
    "camembert": CamembertConfig(**_SHAPE, type_vocab_size=1),
    "albert": AlbertConfig(**_SHAPE, embedding_size=16),
    "data2vec-text": Data2VecTextConfig(**_SHAPE, type_vocab_size=1),
    "mpnet": MPNetConfig(**_SHAPE),
    "gpt2": GPT2Config(
        vocab_size=len(_WORDS),
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=66,
        initializer_range=0.2,
        pad_token_id=1,
    ),
    "bart": BartConfig(
        vocab_size=len(_WORDS),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=66,
        init_std=0.2,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
    ),
    "deberta": DebertaConfig(**_SHAPE, **_POSITIONS),
    "deberta-v2": DebertaV2Config(**_SHAPE, **_POSITIONS, position_buckets=8),
    "modernbert": ModernBertConfig(
        **_SHAPE,
        global_attn_every_n_layers=2,
        local_attention=8,
        bos_token_id=0,
        eos_token_id=2,
        cls_token_id=0,
        sep_token_id=2,
    ),
}


def write_classifier(
    folder: Path,
    architecture: str | PretrainedConfig,
    labels: tuple[str, ...],
    *,
    unknown: str = "<unk>",
) -> Path:
    """A random classifier of `labels` as `save_pretrained` leaves it, with a tokenizer.json."""
    folder.mkdir(parents=True)
    vocabulary = {word: index for index, word in enumerate(_WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer.add_special_tokens(list(_SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = ARCHITECTURES[architecture] if isinstance(architecture, str) else architecture
    config.id2label = dict(enumerate(labels))
    config.label2id = {name: index for index, name in enumerate(labels)}
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return folder
