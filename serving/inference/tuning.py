"""What was measured of a bundle on this machine, kept from start to start: a file for each key."""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from serving.bundles.bundle import Bundle
from serving.bundles.files import MOST_DESCRIPTION_BYTES, Frozen, open_file, parse, replace_file
from serving.errors import StartError, own_words
from serving.inference.cost_model import CostModel
from serving.inference.cpu import gpus, processor, usable_cores
from serving.inference.engine import EngineName, Resources
from serving.logs import log

FOLDER_NAME = ".tuning"
_SHIPPED = Path(__file__).resolve().parents[2] / "models" / "registry"
Key = Mapping[str, str | int | float]
_OF_THE_MACHINE = {"threads", "cores", "processor", "gpus"}
_PACKAGES = ("sizewise", "onnxruntime", "onnxruntime-gpu", "openvino")
_KEY_DIGITS = 16
_MOST_TOKENS = 1 << 22
_FOREVER_S = 3600.0
_Seconds = Annotated[float, Field(ge=0, le=_FOREVER_S)]
_Tokens = Annotated[int, Field(ge=1, le=_MOST_TOKENS)]


class Tuning(Frozen):
    """How one bundle is run on one kind of machine, and the measurements that decided it."""

    format_version: Literal[1] = 1
    key: dict[str, str | int | float]
    """Everything that the measurements depend on."""
    engine: EngineName
    """The selected engine."""
    packed: bool
    """Whether texts share rows."""
    wide: bool
    """Whether a single text gets all cores."""
    reason: Annotated[str, Field(max_length=4096)]
    """Why the engine and the layout were selected."""
    max_batch_tokens: _Tokens
    """The token budget of a batch."""
    tokens: Annotated[tuple[_Tokens, ...], Field(min_length=2, max_length=64)]
    """The measured sizes of the cost model, rising."""
    linear_s: tuple[_Seconds, ...]
    """The seconds of each size without attention, never falling."""
    attention_s: _Seconds
    """Seconds of attention for each pair of tokens."""
    pace_s: Annotated[float, Field(gt=0, le=_FOREVER_S)]
    """The seconds of one batch of the budget, to see whether this machine is as fast."""
    logits: Annotated[list[list[float]], Field(min_length=1, max_length=64)]
    """The reference engine's answers to the first probes."""

    @model_validator(mode="after")
    def _consistent(self) -> "Tuning":
        if len(self.linear_s) != len(self.tokens):
            raise ValueError("linear_s and tokens are not of the same sizes")
        if any(a >= b for a, b in pairwise(self.tokens)):
            raise ValueError("tokens do not rise")
        if any(a > b for a, b in pairwise(self.linear_s)) or not self.linear_s[-1]:
            raise ValueError("linear_s falls, or is 0 throughout")
        if len({len(row) for row in self.logits}) != 1:
            raise ValueError("logits has rows of different lengths")
        return self

    @property
    def cost(self) -> CostModel:
        """The cost model."""
        return CostModel(self.tokens, self.linear_s, self.attention_s)


def key_of(bundle: Bundle, requested: str, resources: Resources, max_batch_tokens: int) -> Key:
    """Return everything that the measurements of a bundle depend on.

    That is the bundle's content, the question, the processor or GPU, and the versions of what
    computes.
    """
    return {
        "version": bundle.manifest.version,
        "logit_tolerance": bundle.manifest.logit_tolerance,
        "engine": requested,
        "max_batch_tokens": max_batch_tokens,
        "device": resources.device,
        "threads": resources.threads,
        "slots": resources.slots,
        "gpu_memory_bytes": resources.gpu_memory_bytes,
        "cores": usable_cores(),
        "processor": processor(),
        "gpus": gpus() if resources.device == "cuda" else "",
        **{package: _version(package) for package in _PACKAGES},
    }


def same_but_machine(one: Key, other: Key) -> bool:
    """Return whether two keys are of one bundle, run alike, on machines that may differ.

    A package that one of them lacks, since there is none for its architecture, is no difference.
    """
    pairs = ((one.get(n), other.get(n)) for n in (one.keys() | other.keys()) - _OF_THE_MACHINE)
    return all(a == b or "" in {a, b} for a, b in pairs)


def folder_of(setting: Path | Literal[""] | None, registry: Path) -> Path | None:
    """Return the folder of tuning files; None if nothing is to be kept.

    Without a setting it lies beside the registry, where it is there or can be made, or else, as for
    the family that ships, in the user's cache folder. "" turns it off.
    """
    if setting is not None:
        return setting or None
    beside = registry.absolute().parent / FOLDER_NAME
    is_writable = beside.is_dir() or os.access(beside.parent, os.W_OK)
    if is_writable and registry.resolve() != _SHIPPED:
        return beside
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return Path(caches) / "sizewise" / FOLDER_NAME if caches.startswith("/") else None


def name_of(key: Key) -> str:
    """Return the name of the file that holds the tuning of a key."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return f"{key['version']}-{digest[:_KEY_DIGITS]}.json"


def text_of(tuning: Tuning) -> str:
    """Return the content of a tuning's file."""
    return tuning.model_dump_json(indent=2) + "\n"


def read_tuning(folder: Path, key: Key) -> Tuning | None:
    """Return what was measured for this key; None if there is nothing that may be used.

    What cannot be used is named in the log, and replaced by the next measurement.
    """
    path = folder / name_of(key)
    try:
        if not path.exists():
            return None
        tuning = parse(Tuning, _own_text(path), path)
        if tuning.key != key:
            raise OSError(f"{path} was measured under other conditions")
    except (OSError, ValueError, StartError) as error:
        reason = error.detail if isinstance(error, StartError) else own_words(error)
        log("tuning ignored", path=str(path), reason=reason)
        return None
    return tuning


def write_tuning(folder: Path, tuning: Tuning) -> None:
    """Keep what was measured, atomically. Raises OSError if that is not possible."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / name_of(tuning.key), text_of(tuning).encode())


def _own_text(path: Path) -> str:
    """Read a file that decides which engine answers. Raises OSError if others may write it."""
    with open_file(path) as file:
        status = os.fstat(file.fileno())
        if status.st_uid not in {0, os.geteuid()} or status.st_mode & stat.S_IWOTH:
            raise OSError(f"{path} belongs to another user, or others may write it")
        content = file.read(MOST_DESCRIPTION_BYTES + 1)
    if len(content) > MOST_DESCRIPTION_BYTES:
        raise OSError(f"{path} is larger than {MOST_DESCRIPTION_BYTES:,} bytes")
    return content.decode()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
