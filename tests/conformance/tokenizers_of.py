"""A tiny tokenizer of the kind that an architecture has, with its special tokens and templates.

It does not know the models.
"""

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

MAX_TOKENS = 24
CORPUS = [
    "the plot was dull and the film was a warm surprise",
    "a superb camera with a noisy battery, but the screen is awful!",
    "The quick brown FOX jumps over 12 lazy dogs.",
    "très bien, merci: naïve café - 悪い 🙁",
] * 3
_WORDS = 320
# What the library names by its general class only: the kind of tokenizer that its checkpoints have.
_KINDS = {
    "bigbird_pegasus": "T5Tokenizer",
    "gpt-sw3": "GPT2Tokenizer",
    "gpt_bigcode": "GPT2Tokenizer",
    "nystromformer": "AlbertTokenizer",
    "umt5": "T5Tokenizer",
    "xlm-roberta-xl": "XLMRobertaTokenizer",
}
# Their vocabulary is part of the class, whatever was trained.
_FIXED = {"EsmcTokenizer"}


class NoTokenizerJson(Exception):
    """Why transformers writes no tokenizer.json for this architecture."""


def tokenizer_of(architecture):
    """A trained tokenizer whose `save_pretrained` writes tokenizer.json.

    Raises NoTokenizerJson where transformers has none.
    """
    name = _KINDS.get(architecture) or TOKENIZER_MAPPING_NAMES.get(architecture)
    if name in (None, "TokenizersBackend"):
        made = _encoder() if "bert" in architecture else _decoder()
    else:
        kind = getattr(transformers, name)
        if not _is_fast(kind):
            raise NoTokenizerJson(f"{name} has no tokenizer.json")
        try:
            made = kind()
            if name not in _FIXED:
                made = made.train_new_from_iterator(CORPUS, _WORDS)
        except ImportError as error:
            raise NoTokenizerJson(f"{name} needs a package besides tokenizers") from error
    if made.pad_token_id is None:
        made.pad_token = made.eos_token or made.unk_token
    made.model_max_length = MAX_TOKENS
    return made


def _is_fast(kind):
    return isinstance(kind, type) and issubclass(kind, PreTrainedTokenizerFast)


def _trained(special):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_WORDS,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def _encoder():
    """Byte-level BPE with the template of BERT, as ModernBERT and its kin have."""
    tokenizer = _trained(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        unk_token="[UNK]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "attention_mask"],
    )


def _decoder():
    """Byte-level BPE that begins with <s> and pads on the left, as Llama and its kin have."""
    tokenizer = _trained(["<s>", "</s>", "<pad>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
    )
