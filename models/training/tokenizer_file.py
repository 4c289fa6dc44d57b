"""The tokenizer.json of a pretrained model: found or converted, and checked against the model."""

import json
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PretrainedConfig

from models.data.sources import Source
from models.recipe import RecipeError
from models.training.architecture import text_config
from serving.bundles.bundle import CONFIG_NAME, TOKENIZER_NAME
from serving.bundles.hugging_face import TOKENIZER_CONFIG_NAME
from serving.bundles.tokenizer_file import adapted, largest_token, well_formed
from serving.errors import BundleError
from serving.inference.inputs import Unreadable
from serving.inference.tokenizer import Tokenizer

_REMEDY = (
    "write it with `AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)`, or use a model "
    "that has a fast tokenizer"
)
_SAMPLES = ("", "a", "A word, 12 \u5b57 \U0001f600 \u200b<unk>")


def copy_tokenizer(found: Source, folder: Path, max_length: int) -> None:
    """Write tokenizer.json as the model's own library reads it.

    It is the file of the folder or of the hub with the settings of tokenizer_config.json, as an
    import has it; or one converted from the files of a slow tokenizer. What is overruled is
    printed. Raises RecipeError if there is neither, or one of another form.
    """
    content = _read(found, TOKENIZER_NAME)
    if content is None:
        content = _converted(found)
    whole = _parsed(content, f"{found}: {TOKENIZER_NAME}")
    settings, config = (
        _parsed(text, f"{found}: {name}") if (text := _read(found, name)) else {}
        for name in (TOKENIZER_CONFIG_NAME, CONFIG_NAME)
    )
    warnings: list[str] = []
    try:
        with well_formed(f"{found}: {TOKENIZER_NAME} or {TOKENIZER_CONFIG_NAME}"):
            changed = adapted(whole, settings, config, max_length, warnings)
    except BundleError as error:
        raise RecipeError(error.detail) from error
    for warning in warnings:
        print(f"{found}: {warning}")
    if changed:
        content = json.dumps(changed, ensure_ascii=False)
    (folder / TOKENIZER_NAME).write_text(content, encoding="utf-8")


def check_tokenizer(path: Path, config: PretrainedConfig, max_length: int, found: Source) -> None:
    """Raise RecipeError when the tokenizer fails, or gives what the model cannot read."""
    try:
        encodings = Tokenizer(path, max_length).encode(_SAMPLES)
    except BundleError as error:
        raise RecipeError(f"{found}: {str(error).replace(str(path), TOKENIZER_NAME)}") from error
    for encoding in encodings:
        if isinstance(encoding, Unreadable):
            raise RecipeError(
                f"{found}: its tokenizer cannot encode every text ({encoding.reason}): name a "
                f"token of its vocabulary as the unknown token in {TOKENIZER_NAME}"
            )
    whole = _parsed(path.read_text(encoding="utf-8"), str(path))
    _, largest = largest_token(whole)
    known = text_config(config).vocab_size
    if largest >= known:
        raise RecipeError(
            f"{found}: its tokenizer has the token id {largest}, but the model only embeds "
            f"{known} tokens: call `model.resize_token_embeddings({largest + 1})` and "
            "fine-tune it, or use the tokenizer that it was trained with"
        )
    segments = _segments_of_one_text(whole.get("post_processor") or {})
    if segments > {0} and config.to_dict().get("type_vocab_size"):
        raise RecipeError(
            f"{found}: its tokenizer divides one text into the segments "
            f"{', '.join(map(str, sorted(segments)))}, but an exported graph reads it as segment "
            "0: export it yourself, with token_type_ids, and use `python -m models import`"
        )


def _segments_of_one_text(processor: dict[str, Any]) -> set[int]:
    parts = processor.get("processors") or [processor]
    return {0}.union(
        next(iter(piece.values()))["type_id"]
        for part in parts
        if part.get("type") == "TemplateProcessing"
        for piece in part["single"]
    )


def _read(found: Source, name: str) -> str | None:
    """The text of a file of a folder or of the hub, without byte order mark; None without file."""
    try:
        if found.path:
            path = found.path / name
        else:
            from huggingface_hub import hf_hub_download  # noqa: PLC0415 (only for the hub)

            path = Path(hf_hub_download(found.name, name))
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"{found}: {name} is not UTF-8 ({error.reason}): save it again"
        ) from error
    except OSError:
        return None


def _parsed(content: str, where: str) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{where} is not a JSON object ({error}): save it again") from error
    if not isinstance(parsed, dict):
        raise RecipeError(f"{where} is not a JSON object: save it again")
    return parsed


def _converted(found: Source) -> str:
    """tokenizer.json as transformers makes it of the files of a slow tokenizer."""
    if found.path is None:
        raise RecipeError(f"{found} has no {TOKENIZER_NAME}: {_REMEDY}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(found.name)
        names = set(type(tokenizer).vocab_files_names.values()) - {TOKENIZER_NAME}
        # Without its files, transformers makes a tokenizer without words.
        if not any((found.path / name).is_file() for name in names):
            raise FileNotFoundError(f"it has no {' or '.join(sorted(names))} either")
        content: str = tokenizer.backend_tokenizer.to_str()
    except Exception as error:  # a slow tokenizer has no backend, and libraries may be missing
        raise RecipeError(
            f"{found} has no {TOKENIZER_NAME}, and transformers cannot convert its tokenizer "
            f"({error}): {_REMEDY}"
        ) from error
    print(f"converted the tokenizer of {found} to {TOKENIZER_NAME}")
    return content
