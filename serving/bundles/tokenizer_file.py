"""Makes a tokenizer.json say what tokenizer_config.json says, as transformers does on loading."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from serving.errors import BundleError

# transformers rebuilds the normalizer of these from tokenizer_config.json; other classes leave
# tokenizer.json as it is.
_BERT_CLASSES = {
    "BertTokenizer", "ConvBertTokenizer", "DistilBertTokenizer", "ElectraTokenizer",
    "FunnelTokenizer", "LayoutLMTokenizer", "MPNetTokenizer", "MobileBertTokenizer",
    "SqueezeBertTokenizer",
}  # fmt: skip
_BERT_MODELS = {
    "bert", "convbert", "distilbert", "electra", "funnel", "layoutlm", "megatron-bert",
    "mobilebert", "mpnet", "squeezebert",
}  # fmt: skip
# Written by transformers 5, where a tokenizer of no particular model gives it no segments.
_CLASS_WITHOUT_SEGMENTS = "TokenizersBackend"
_NORMALIZER = "BertNormalizer"
_SIDES = {"left": "Left", "right": "Right"}


@contextmanager
def well_formed(where: object) -> Iterator[None]:
    """Raise what fails on JSON of another form than its library writes as a BundleError."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise BundleError(
            f"{where} does not have the form in which save_pretrained writes it "
            f"({type(error).__name__}: {error}): save it again"
        ) from error


def token_ids(tokenizer: Mapping[str, Any]) -> dict[str, int]:
    """Return every token of a tokenizer.json with its id."""
    vocabulary = (tokenizer.get("model") or {}).get("vocab") or {}
    if isinstance(vocabulary, list):  # of a unigram model: pairs of a token and its score
        ids = {str(entry[0]): index for index, entry in enumerate(vocabulary) if entry}
    else:
        ids = {str(token): int(number) for token, number in vocabulary.items()}
    for token in tokenizer.get("added_tokens") or ():
        ids[token["content"]] = int(token["id"])
    return ids


def largest_token(tokenizer: Mapping[str, Any]) -> tuple[str, int]:
    """Return the token with the largest id."""
    return max(token_ids(tokenizer).items(), key=lambda each: each[1], default=("", 0))


def adapted(
    tokenizer: Mapping[str, Any],
    settings: Mapping[str, Any],
    config: Mapping[str, Any],
    max_length: int,
    warnings: list[str],
) -> dict[str, Any] | None:
    """Return tokenizer.json with the `settings` of tokenizer_config.json; None if it has them.

    That is: the side that is truncated, the case of letters, and the segments of a pair.
    """
    changed = copy.deepcopy(dict(tokenizer))
    _truncate(changed, settings, max_length)
    _normalize(changed, settings, config, warnings)
    _join(changed, settings)
    return changed if changed != tokenizer else None


def _truncate(tokenizer: dict[str, Any], settings: Mapping[str, Any], max_length: int) -> None:
    side = _SIDES.get(str(settings.get("truncation_side")).lower())
    given = tokenizer.get("truncation") or {}
    if side is None or side == given.get("direction", "Right"):
        return
    usual = {"max_length": max_length, "strategy": "LongestFirst", "stride": 0}
    tokenizer["truncation"] = usual | given | {"direction": side}


def _normalize(
    tokenizer: dict[str, Any],
    settings: Mapping[str, Any],
    config: Mapping[str, Any],
    warnings: list[str],
) -> None:
    kind = settings.get("tokenizer_class") or config.get("tokenizer_class")
    is_bert = (
        str(kind).removesuffix("Fast") in _BERT_CLASSES
        if kind
        else config.get("model_type") in _BERT_MODELS
    )
    normalizer = tokenizer.get("normalizer")
    if not is_bert or not normalizer or normalizer.get("type") != _NORMALIZER:
        return
    if not settings:
        if not normalizer.get("lowercase"):
            warnings.append(
                "tokenizer.json keeps upper case; transformers would lower it, since there is no "
                "tokenizer_config.json with do_lower_case: tokenizer.json counts"
            )
        return
    lowercase = settings.get("do_lower_case", True)
    given = {
        "strip_accents": settings.get("strip_accents"),
        "handle_chinese_chars": settings.get("tokenize_chinese_chars"),
    }
    wanted = normalizer | {"lowercase": lowercase}
    wanted |= {name: value for name, value in given.items() if value is not None}
    if wanted == normalizer:
        return
    if lowercase != normalizer.get("lowercase"):
        said = "is" if "do_lower_case" in settings else "is left out, which means"
        warnings.append(
            f"tokenizer_config.json: do_lower_case {said} {str(lowercase).lower()}, tokenizer.json "
            f"says {str(not lowercase).lower()}: the former counts, as in transformers"
        )
    tokenizer["normalizer"] = wanted


def _join(tokenizer: dict[str, Any], settings: Mapping[str, Any]) -> None:
    """Give all tokens of a pair one segment if transformers passes no segments to the model."""
    bare = settings.get("tokenizer_class") == _CLASS_WITHOUT_SEGMENTS
    inputs = settings.get("model_input_names", [] if bare else None)
    if not isinstance(inputs, list) or "token_type_ids" in inputs:
        return
    processor = tokenizer.get("post_processor") or {}
    for part in (processor, *(processor.get("processors") or ())):
        if part.get("type") == "TemplateProcessing":
            for piece in (*part.get("single", ()), *part.get("pair", ())):
                for content in piece.values():
                    content["type_id"] = 0
