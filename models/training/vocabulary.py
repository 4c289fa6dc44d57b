"""A WordPiece vocabulary: trimmed to the words that texts use most, or learnt from the texts."""

import copy
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from serving.bundles.normalization import Normalization, normalized

_CONTINUATION = "##"
_UNUSED = "[unused"
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
# Thai, Lao, Tibetan, Burmese, Khmer, Japanese and Chinese.
_WITHOUT_SPACES = "[\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
_SHARE_WITHOUT_SPACES = 0.05
# WordPiece takes quadratic time for a word, and none at all for one of over 100 characters.
_LONGEST_RUN = ".{1,32}"


def unknown_share(tokenizer_path: Path, texts: Iterable[Sequence[int]]) -> float:
    """Return the share of the texts' tokens that are the unknown one, the outer two left out.

    A vocabulary of bytes, or one that drops what it does not know, has no unknown token: then 0.
    """
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    model = json.loads(tokenizer.to_str())["model"]
    name = model.get("unk_token")
    unknown = tokenizer.token_to_id(name) if name else model.get("unk_id")
    counts = Counter(index for ids in texts for index in ids[1:-1])
    return counts[unknown] / max(1, counts.total()) if unknown is not None else 0.0


def words_to_keep(
    tokenizer: dict[str, Any], texts: Iterable[Iterable[int]], limit: int
) -> list[int]:
    """Choose at most `limit` words to keep; return their ids, ascending (new id -> old id).

    `tokenizer` is a parsed tokenizer.json, `texts` are its token ids. Special tokens are kept, and
    the single characters of all words that the texts use, so that such a word can always be split
    into pieces. Then come the most used words, then all other characters, then the words with the
    lowest ids (BERT's ids go by frequency). A character that does not fit makes its words unknown;
    `cost` counts these.
    Raises ValueError when the model is not WordPiece, or `limit` is too small for what is kept.
    """
    kind = tokenizer["model"]["type"]
    if kind != "WordPiece":
        raise ValueError(f"only WordPiece vocabularies can be trimmed, not {kind}: remove it")
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    special = {token["content"] for token in tokenizer["added_tokens"]}
    uses = Counter(index for ids in texts for index in ids)
    plain = {word: word.removeprefix(_CONTINUATION) for word in vocabulary if word not in special}
    seen = {
        letter for word, letters in plain.items() if uses[vocabulary[word]] for letter in letters
    }
    must = {vocabulary[word] for word in special}
    must |= {vocabulary[word] for word, letters in plain.items() if letters in seen}
    if len(must) > limit:
        raise ValueError(
            f"{len(must)} special tokens and characters do not fit into {limit} words: allow more"
        )
    others = sorted(
        (
            (-uses[index], len(plain[word]) > 1, index)
            for word, index in vocabulary.items()
            if index not in must and not word.startswith(_UNUSED)
        ),
    )
    return sorted(must.union(index for *_, index in others[: limit - len(must)]))


def trimmed(tokenizer: dict[str, Any], keep: list[int]) -> dict[str, Any]:
    """Copy a parsed tokenizer.json with only the words `keep`, numbered in that order."""
    result = copy.deepcopy(tokenizer)
    word_of = {index: word for word, index in tokenizer["model"]["vocab"].items()}
    vocabulary = {word_of[old]: new for new, old in enumerate(keep)}
    result["model"]["vocab"] = vocabulary
    for token in result["added_tokens"]:
        token["id"] = vocabulary[token["content"]]
    for name, token in result["post_processor"].get("special_tokens", {}).items():
        token["ids"] = [vocabulary[name]]
    for name in {"cls", "sep"} & set(result["post_processor"]):
        word = result["post_processor"][name][0]
        result["post_processor"][name] = [word, vocabulary[word]]
    result["truncation"] = result["padding"] = None
    return result


def word_texts(tokenizer: dict[str, Any]) -> list[str]:
    """Return each token of a parsed tokenizer.json as a text, in the order of their ids."""
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    words = sorted(vocabulary, key=vocabulary.__getitem__)
    return [word.removeprefix(_CONTINUATION) for word in words]


def cost(
    before: dict[str, Any], after: dict[str, Any], texts: Sequence[str]
) -> dict[str, float | int]:
    """Measure what trimming the parsed tokenizer.json `before` to `after` does to texts.

    Returns the tokens a text before and after, the share of words that are split into more pieces,
    and the share of unknown words before and after. Words are the tokenizer's own.
    """
    unknown = before["model"]["unk_token"]
    uncut = {"truncation": None, "padding": None}
    encoded = [
        Tokenizer.from_str(json.dumps(each | uncut)).encode_batch(
            list(texts), add_special_tokens=False
        )
        for each in (before, after)
    ]
    tokens = [sum(len(encoding.ids) for encoding in side) for side in encoded]
    unknowns = [sum(encoding.tokens.count(unknown) for encoding in side) for side in encoded]
    words = split_more = 0
    for whole, cut in zip(*encoded, strict=True):
        pieces, more_pieces = Counter(whole.word_ids), Counter(cut.word_ids)
        words += len(pieces)
        split_more += sum(more_pieces[word] > count for word, count in pieces.items())
    return {
        "texts": len(texts),
        "tokens_per_text_before": round(tokens[0] / len(texts), 2),
        "tokens_per_text": round(tokens[1] / len(texts), 2),
        "words_split_more": round(split_more / max(words, 1), 4),
        "unknown_words_before": round(unknowns[0] / max(words, 1), 5),
        "unknown_words": round(unknowns[1] / max(words, 1), 5),
    }


def learnt(
    texts: Sequence[str], limit: int, normalize: Sequence[Normalization] = ()
) -> dict[str, Any]:
    """Learn a vocabulary of at most `limit` words from texts; return a parsed tokenizer.json.

    Texts are lowercased and split as by BERT; where more than a few are in a script without spaces,
    words are learnt from its runs of characters. Accents stay: in many scripts they are vowels.
    Raises ValueError when `limit` is too small for the special tokens and a character.
    """
    if limit <= len(_SPECIAL):
        raise ValueError(f"{limit} words leave none beside {', '.join(_SPECIAL)}: allow more")
    spaced = sum(not re.search(_WITHOUT_SPACES, text) for text in texts)
    runs = spaced < (1 - _SHARE_WITHOUT_SPACES) * len(texts)
    # With a prefix for the pieces within words, the trainer numbers and merges them at random.
    tokenizer = Tokenizer(models.WordPiece(unk_token=_SPECIAL[1], continuing_subword_prefix=""))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=True, strip_accents=False, handle_chinese_chars=not runs
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if runs:
        short = pre_tokenizers.Split(Regex(_LONGEST_RUN), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([tokenizer.pre_tokenizer, short])
    if normalize:
        parsed = normalized(json.loads(tokenizer.to_str()), normalize)
        tokenizer.normalizer = Tokenizer.from_str(json.dumps(parsed)).normalizer
    uses: Counter[str] = Counter()
    for text in texts:
        uses.update("".join(tokenizer.normalizer.normalize_str(text).split()))
    characters = sorted(uses, key=lambda each: (-uses[each], each))[: limit - len(_SPECIAL)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=limit,
        special_tokens=list(_SPECIAL),
        initial_alphabet=characters,
        limit_alphabet=len(characters),
        continuing_subword_prefix="",
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in _SPECIAL[2:]],
    )
    whole: dict[str, Any] = json.loads(tokenizer.to_str())
    return whole


def mask_word(tokenizer_path: Path) -> str | None:
    """Return the tokenizer's mask token; None if it has none."""
    special = json.loads(tokenizer_path.read_text(encoding="utf-8"))["added_tokens"]
    return next((token["content"] for token in special if "mask" in token["content"].lower()), None)
