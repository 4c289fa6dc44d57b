"""What a Hugging Face folder says of its classifier, read as transformers reads it."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from serving.bundles.bundle import CONFIG_NAME, TOKENIZER_NAME
from serving.bundles.files import MOST_TOKENIZER_BYTES, listed, read_text
from serving.bundles.position_limit import longest_input
from serving.bundles.tokenizer_file import adapted, largest_token, token_ids, well_formed
from serving.errors import BundleError

ProblemType = Literal["single_label", "multi_label", "regression"]

TOKENIZER_CONFIG_NAME = "tokenizer_config.json"
SPECIAL_TOKENS_NAME = "special_tokens_map.json"
_DEFAULT_LABELS = 2
_PROBLEM_TYPES: dict[str | None, ProblemType] = {
    None: "single_label",
    "single_label_classification": "single_label",
    "multi_label_classification": "multi_label",
    "regression": "regression",
}
# The sets of GLUE and its kin whose examples are two texts.
_PAIR_TASKS = {"mnli", "mrpc", "qqp", "qnli", "rte", "stsb", "wnli", "snli", "xnli"}
_PAIR_LABEL = "entailment"
# What they read last must be no padding, for which they pad on the left.
_PADDED_ON_THE_LEFT = {"t5gemma", "xlnet"}
# transformers writes 1e30 where a tokenizer has no limit.
_NO_LIMIT = 10**20


@dataclass(frozen=True, slots=True)
class Declared:
    """What the files of a folder say, and their text as a bundle has it."""

    labels: list[str]
    problem_type: ProblemType
    pad_token_id: int
    max_length: int
    looks_like_pairs: bool
    largest_token: tuple[str, int]
    """The token with the largest id."""
    config_text: str
    tokenizer_text: str
    warnings: list[str]


def read_declared(folder: Path, width: int) -> Declared:
    """Read the configuration and the tokenizer of a folder whose graph answers `width` numbers.

    `width` is 0 if the graph does not say. Raises BundleError naming the file and the remedy.
    """
    config, config_text = read_json(folder / CONFIG_NAME)
    warnings: list[str] = []
    with well_formed(folder / CONFIG_NAME):
        check_padding(config.get("model_type"), folder)
        names = _labels(folder, config, width, warnings)
        problem_type = _problem_type(folder, config, len(names))
        looks_like_pairs = _looks_like_pairs(config, names)
        longest, declared_pad = longest_input(config), _declared_pad(config)
    path = folder / TOKENIZER_NAME
    if not path.is_file():
        raise BundleError(_without_tokenizer(folder))
    tokenizer, tokenizer_text = read_json(path)
    settings = read_json(folder / TOKENIZER_CONFIG_NAME, optional=True)[0]
    special = read_json(folder / SPECIAL_TOKENS_NAME, optional=True)[0]
    with well_formed(f"{folder}: {TOKENIZER_NAME} or {TOKENIZER_CONFIG_NAME}"):
        max_length = _max_length(longest, settings, tokenizer)
        changed = adapted(tokenizer, settings, config, max_length, warnings)
        largest = largest_token(tokenizer)
        pad = _token_pad(settings, special, tokenizer) if declared_pad is None else declared_pad
    labels = {str(index): name for index, name in enumerate(names)}
    if config.get("id2label") != labels:
        config_text = json.dumps(config | {"id2label": labels}, indent=2)
    return Declared(
        labels=names,
        problem_type=problem_type,
        pad_token_id=pad,
        max_length=max_length,
        looks_like_pairs=looks_like_pairs,
        largest_token=largest,
        config_text=config_text,
        tokenizer_text=json.dumps(changed, ensure_ascii=False) if changed else tokenizer_text,
        warnings=warnings,
    )


def check_padding(model_type: object, where: object) -> None:
    """Raise BundleError for an architecture that the server would pad on the wrong side."""
    if model_type in _PADDED_ON_THE_LEFT:
        raise BundleError(
            f"{where}: {model_type} must be padded on the left, and the server pads on the right: "
            "use a model of another architecture"
        )


def read_json(path: Path, *, optional: bool = False) -> tuple[dict[str, Any], str]:
    """Return an object of a JSON file, and the file's text without a byte order mark.

    Raises BundleError if it is none; an `optional` file that is missing counts as empty.
    """
    try:
        text = read_text(path, "utf-8-sig", MOST_TOKENIZER_BYTES)
        content = json.loads(text)
    except FileNotFoundError as error:
        if optional:
            return {}, ""
        raise BundleError(f"{path.parent} has no {path.name}: copy it from the model") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not JSON in UTF-8: {error}") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path} is not a JSON object")
    return content, text


def _labels(folder: Path, config: Mapping[str, Any], width: int, warnings: list[str]) -> list[str]:
    """Return the names in the order of the logits; LABEL_0 and so on if none are given."""
    where = folder / CONFIG_NAME
    declared = _declared_labels(config)
    count = config.get("num_labels")
    if not declared:
        return _default_labels(count if isinstance(count, int) else width or _DEFAULT_LABELS)
    if isinstance(declared, list):
        declared = dict(enumerate(declared))
    try:
        names = {int(index): str(name) for index, name in declared.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise BundleError(f"{where}: id2label has a key that is not a number: {error}") from error
    if sorted(names) != list(range(len(names))):
        raise BundleError(
            f"{where}: id2label has the keys [{listed(sorted(names))}]: number them from 0"
        )
    if width and width != len(names) and count == width:
        warnings.append(
            f"{where}: id2label has {len(names)} names for {count} labels, so they are called "
            "LABEL_0 and so on"
        )
        return _default_labels(width)
    twice = [name for name, times in Counter(names.values()).items() if times > 1]
    if twice:
        raise BundleError(
            f"{where}: id2label has {listed(twice)} more than once: give each label its own name"
        )
    return [names[index] for index in range(len(names))]


def label_counts(folder: Path) -> list[int]:
    """Return the numbers of labels that config.json may mean, the likeliest first."""
    path = folder / CONFIG_NAME
    config = read_json(path)[0]
    with well_formed(path):
        counts = [len(_declared_labels(config)), config.get("num_labels")]
        return [each for each in counts if isinstance(each, int) and each] or [_DEFAULT_LABELS]


def _declared_labels(config: Mapping[str, Any]) -> Any:
    return config.get("id2label") or _turned(config.get("label2id"))


def _default_labels(count: int) -> list[str]:
    return [f"LABEL_{index}" for index in range(count)]


def _turned(label2id: object) -> dict[Any, Any]:
    return {index: name for name, index in label2id.items()} if isinstance(label2id, dict) else {}


def _problem_type(folder: Path, config: Mapping[str, Any], labels: int) -> ProblemType:
    given = config.get("problem_type") or None
    if given not in _PROBLEM_TYPES:
        known = ", ".join(name for name in _PROBLEM_TYPES if name)
        raise BundleError(
            f"{folder / CONFIG_NAME}: problem_type {given!r} is none of {known}: "
            "correct it, or remove it"
        )
    kind = _PROBLEM_TYPES[given]
    # As in transformers' pipeline: one logit is the logit of a probability.
    return "multi_label" if labels == 1 and kind == "single_label" else kind


def _declared_pad(config: Mapping[str, Any]) -> int | None:
    for part in (config, config.get("text_config") or {}):
        given = part.get("pad_token_id")
        if isinstance(given, int) and given >= 0:
            return given
    return None


def _token_pad(
    settings: Mapping[str, Any],
    special: Mapping[str, Any],
    tokenizer: Mapping[str, Any],
) -> int:
    """Return the id of padding: 0 if there is none, since the attention mask hides it."""
    ids = token_ids(tokenizer)
    for source in (settings, special):
        token = source.get("pad_token")
        text = token.get("content") if isinstance(token, dict) else token
        if text in ids:
            return ids[text]
    padding = (tokenizer.get("padding") or {}).get("pad_id", 0)
    return padding if isinstance(padding, int) and padding >= 0 else 0


def _max_length(longest: int, settings: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> int:
    """Return what the positions allow, or less if the tokenizer truncates before that.

    As in transformers, tokenizer.json's own limit counts where tokenizer_config.json has none.
    """
    for given in (
        settings.get("model_max_length", settings.get("max_len")),
        (tokenizer.get("truncation") or {}).get("max_length"),
    ):
        if isinstance(given, int | float) and 0 < given < _NO_LIMIT:
            return min(longest, int(given))
    return longest


def _looks_like_pairs(config: Mapping[str, Any], labels: list[str]) -> bool:
    """Return whether the model probably reads two texts at a time."""
    return (
        str(config.get("finetuning_task")).lower() in _PAIR_TASKS
        or "sentence_transformers" in config
        or any(label.lower() == _PAIR_LABEL for label in labels)
    )


def _without_tokenizer(folder: Path) -> str:
    slow = [
        name
        for name in (
            "vocab.txt", "vocab.json", "merges.txt", "spiece.model", "spm.model",
            "sentencepiece.bpe.model", "tokenizer.model", "bpe.codes",
        )
        if (folder / name).is_file()
    ]  # fmt: skip
    has = f"only a slow tokenizer ({', '.join(slow)})" if slow else "no tokenizer"
    return (
        f"{folder} has no {TOKENIZER_NAME}, {has}: write it with transformers, "
        "`AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)`"
    )
