"""Tokenizers of the kinds that classifiers come with, over the words of the tiny bundles."""

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors

from tests.support.bundles import VOCABULARY

_WORDS = {word: index for index, word in enumerate(VOCABULARY)}
_SPECIAL = [("[CLS]", 2), ("[SEP]", 3)]
_PAIR = "[CLS] $A [SEP] $B:1 [SEP]:1"
POST_PROCESSORS = {
    "bert": processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=_PAIR, special_tokens=_SPECIAL
    ),
    "xlnet": processors.TemplateProcessing(
        single="$A:0 [SEP]:0 [CLS]:2",
        pair="$A:0 [SEP]:0 $B:1 [SEP]:1 [CLS]:2",
        special_tokens=_SPECIAL,
    ),
    "second segment": processors.TemplateProcessing(
        single="[CLS]:1 $A:1", pair=_PAIR, special_tokens=_SPECIAL
    ),
    "roberta": processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2)),
    "nested": processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(
                single="$A:0 [SEP]:3", pair="$A:0 [SEP]:0 $B:1 [SEP]:3", special_tokens=_SPECIAL
            ),
        ]
    ),
    "bytes": processors.ByteLevel(trim_offsets=True),
    "none": None,
}


def word_level(post="bert", *, unknown="[UNK]", **truncation):
    """A tokenizer of whole words; `truncation` is that of its file."""
    made = tokenizers.Tokenizer(models.WordLevel(_WORDS, unk_token=unknown))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _finished(made, post, truncation)


def word_piece(post="bert", **truncation):
    """A BERT tokenizer, whose ASCII texts are looked up."""
    vocabulary = _WORDS | {"##s": len(_WORDS), "##ly": len(_WORDS) + 1}
    made = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _finished(made, post, truncation)


def _finished(made, post, truncation):
    if POST_PROCESSORS[post] is not None:
        made.post_processor = POST_PROCESSORS[post]
    if truncation:
        made.enable_truncation(**({"max_length": 512} | truncation))
    return made
