"""The bundle: a folder with one exported classifier and its manifest.json."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from serving.bundles.evaluation import Agreement, Evaluation, Explanations, Robustness
from serving.bundles.files import (
    MOST_DESCRIPTION_BYTES,
    MOST_INT32,
    MOST_TOKENIZER_BYTES,
    Count,
    FileName,
    Frozen,
    Name,
    Sha256,
    folded,
    listed,
    parse,
    read_file,
    read_text,
    within,
)
from serving.bundles.group_report import Counterfactuals, GroupReport
from serving.bundles.normalization import Normalization
from serving.bundles.signatures import SIGNATURE_NAME, TrustedKeys, read_signature
from serving.bundles.tensor_input import TensorInput
from serving.errors import BundleError, failures

VariantKey = tuple[str, str, str]

MANIFEST_NAME = "manifest.json"
MODEL_NAME = "model.onnx"
TOKENIZER_NAME = "tokenizer.json"
CONFIG_NAME = "config.json"
OPENVINO_NAMES = ("model.xml", "model.bin")
"""OpenVINO's own format, instead of model.onnx."""
CARD_NAME = "README.md"
JUDGED_SPLIT = "test"
VERSION_HEX_DIGITS = 16
_OPTIONAL = ("temperature", "pairs", "tensors", "graph_output")
_MOST_BYTES = {CONFIG_NAME: MOST_DESCRIPTION_BYTES, TOKENIZER_NAME: MOST_TOKENIZER_BYTES}

Precision = Literal["fp32", "fp16", "bf16", "int8", "int4"]


class BundleFile(Frozen):
    """One file of the bundle."""

    sha256: Sha256
    """Hash of its content."""
    bytes: Count
    """Its size."""


class Manifest(Frozen):
    """What the classifier is; how to run it is in the settings."""

    format_version: Literal[1] = 1
    """Version of this format."""
    family: Name
    """The family's name."""
    variant: Name
    """The variant's name."""
    version: str
    """Content hash of everything that decides an answer.

    That is: files, labels, problem type, length limit, padding, temperature, pairs, tensors and
    what the graph's output is.
    """
    labels: Annotated[list[str], Field(min_length=1)]
    """The labels, in the order of the graph's outputs."""
    problem_type: Literal["single_label", "multi_label", "regression"]
    """Whether a text has exactly one label or any number of them, or each label names a value.

    The scores are a softmax, sigmoids, or with `regression` the graph's own values. A single label
    gets a sigmoid in both of the first.
    """
    max_length: Annotated[int, Field(ge=1, le=8192)]
    """Longest input in tokens, special ones included; 1 for a model of tensors."""
    pad_token_id: Annotated[int, Field(ge=0, le=MOST_INT32)]
    """Token that fills up shorter texts."""
    pairs: bool = False
    """Whether the model reads two texts at a time."""
    tensors: list[TensorInput] = Field(default=[])
    """Inputs of a model that reads rows of numbers; it has no tokenizer."""
    normalize: list[Normalization] = Field(default=[])
    """How tokenizer.json normalises a text before all else."""
    temperature: Annotated[float, Field(ge=1e-4, le=1e4)] = 1.0
    """Logits are divided by this before they become probabilities; 1 with `regression`."""
    graph_output: Literal["logits", "probabilities"] = "logits"
    """What the graph answers: `probabilities` if it ends in the softmax or sigmoid."""
    logit_tolerance: Annotated[float, Field(gt=0, le=1e4)] = 0.1
    """How far another engine's logits may differ from ONNX Runtime's."""
    precision: Precision
    """The number format of the weights."""
    parameters: Count
    """Number of parameters."""
    bytes: Count
    """Size of all files."""
    files: dict[FileName, BundleFile]
    """The bundle's files: plain names, which differ in more than case."""
    recipe: dict[str, Any] = Field(default={})
    """Content of the recipe that made it."""
    parent: Name | None = None
    """Variant that it was made from."""
    evaluations: dict[str, Evaluation] = Field(default={})
    """What it scored, by split."""
    agreement: Agreement | None = None
    """How often it answers as another bundle."""
    explanations: Explanations | None = None
    """How faithful its explanations are."""
    robustness: Robustness | None = None
    """How it does on altered texts."""
    group_report: GroupReport | None = None
    """How it does by group."""
    counterfactuals: Counterfactuals | None = None
    """How it answers texts whose words were swapped."""
    build_seconds: dict[str, float] = Field(default={})
    """Time that each stage took."""

    @model_validator(mode="after")
    def _consistent(self) -> "Manifest":
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels are not unique: {listed(self.labels)}")
        names = [MANIFEST_NAME, SIGNATURE_NAME, *self.files]
        if len(set(map(folded, names))) != len(names):
            raise ValueError(f"files: a file system may take some of {names} for one another")
        model = OPENVINO_NAMES if set(OPENVINO_NAMES) & set(self.files) else (MODEL_NAME,)
        reads_text = () if self.tensors else (TOKENIZER_NAME,)
        if missing := {*model, *reads_text, CONFIG_NAME} - set(self.files):
            raise ValueError(f"files lacks {sorted(missing)}")
        for name, most in _MOST_BYTES.items():
            if name in self.files and self.files[name].bytes > most:
                raise ValueError(f"files: {name} is larger than {most:,} bytes")
        if self.tensors and (self.pairs or self.max_length != 1):
            raise ValueError("a model of tensors has the max_length 1 and no pairs")
        regression = self.problem_type == "regression"
        if regression and (self.temperature != 1.0 or self.graph_output != "logits"):
            raise ValueError("regression has the temperature 1 and the graph_output logits")
        if self.version != self.content_version():
            raise ValueError("version is not the hash of the manifest's content")
        return self

    @property
    def multi_label(self) -> bool:
        """Whether each label applies or not by itself, as a single one does in any case."""
        return self.problem_type == "multi_label" or (
            self.problem_type == "single_label" and len(self.labels) == 1
        )

    @property
    def judged(self) -> Evaluation | None:
        """The evaluation on the split that compares variants; None before any evaluation."""
        return self.evaluations.get(JUDGED_SPLIT)

    def content_version(self) -> str:
        """Return the first 16 hex digits of the sha256 of everything that determines an answer."""
        decisive: dict[str, Any] = {
            "files": {
                name: file.sha256 for name, file in sorted(self.files.items()) if name != CARD_NAME
            },
            "labels": self.labels,
            "problem_type": self.problem_type,
            "max_length": self.max_length,
            "pad_token_id": self.pad_token_id,
        }
        optional = self.model_dump(include={*_OPTIONAL})
        for name in _OPTIONAL:
            if optional[name] != Manifest.model_fields[name].default:
                decisive[name] = optional[name]
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:VERSION_HEX_DIGITS]


@dataclass(frozen=True)
class Bundle:
    """A bundle's folder with its parsed manifest."""

    folder: Path
    manifest: Manifest
    elsewhere: tuple[tuple[str, Path], ...] = ()
    """Where its files lie if not in `folder` under their names (exported.py)."""

    @property
    def active(self) -> bool:
        """Whether it is served without a traffic.json that names its version."""
        return bool(self.elsewhere) or self.folder.name == self.manifest.variant

    def path(self, name: str) -> Path:
        """Return where a file lies."""
        return dict(self.elsewhere).get(name, self.folder / name)

    @property
    def model_path(self) -> Path:
        """The ONNX graph, or OpenVINO's own file if the bundle has one."""
        openvino = OPENVINO_NAMES[0] in self.manifest.files
        return self.path(OPENVINO_NAMES[0] if openvino else MODEL_NAME)

    @property
    def tokenizer_path(self) -> Path:
        """The Hugging Face `tokenizers` file."""
        return self.path(TOKENIZER_NAME)


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, **fields: Any) -> Manifest:
    """Describe the files in `folder` and write manifest.json next to them.

    `fields` are those of Manifest except `version`, `bytes` and `files`, which are computed.
    Raises BundleError when a file is missing, a field is wrong or config.json disagrees.
    """
    own = {MANIFEST_NAME, SIGNATURE_NAME}
    paths = sorted(p for p in folder.iterdir() if p.is_file() and p.name not in own)
    manifest = describe({p.name: p for p in paths}, folder / MANIFEST_NAME, **fields)
    _check_config(folder / CONFIG_NAME, manifest)
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2) + "\n")
    return manifest


def describe(paths: Mapping[str, Path], where: Path, **fields: Any) -> Manifest:
    """Return the manifest of these files, for write_manifest; an error names `where`."""
    files = {
        name: BundleFile(sha256=file_sha256(path), bytes=path.stat().st_size)
        for name, path in sorted(paths.items())
    }
    size = sum(file.bytes for file in files.values())
    draft = Manifest.model_construct(**fields, files=files, bytes=size)
    draft = draft.model_copy(update={"version": draft.content_version()})
    return parse(Manifest, draft.model_dump_json(warnings=False), where)


def read_bundle(
    folder: Path, elsewhere: tuple[tuple[str, Path], ...] = (), trusted: TrustedKeys | None = None
) -> Bundle:
    """Parse the manifest of a bundle; `verify` checks the files.

    `elsewhere` is that of the bundle. Raises BundleError when the manifest is missing or wrong, or
    not signed by one of the `trusted` keys.
    """
    path = dict(elsewhere).get(MANIFEST_NAME, folder / MANIFEST_NAME)
    try:
        if not elsewhere:
            within(path, folder)
        content = read_file(path)
        signature = read_signature(within(folder / SIGNATURE_NAME, folder)) if trusted else None
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{folder}: manifest.json cannot be read ({error})") from error
    if trusted:
        # The bytes that were checked are those that are parsed.
        trusted.check(content, signature, folder)
    return Bundle(folder, parse(Manifest, text, folder / MANIFEST_NAME), elsewhere)


def verify(bundle: Bundle) -> None:
    """Check every file's size and sha256, and config.json's labels, against the manifest.

    Raises BundleError naming the file and the remedy.
    """
    for name in bundle.manifest.files:
        verify_file(bundle, name)
    _check_config(bundle.path(CONFIG_NAME), bundle.manifest)


def verify_file(bundle: Bundle, name: str) -> None:
    """Check one file of the manifest. Raises BundleError naming the file and the remedy."""
    path, expected = bundle.path(name), bundle.manifest.files[name]
    with failures(BundleError, str(path)):
        if not bundle.elsewhere:
            within(path, bundle.folder)
        if not path.is_file():
            raise BundleError(f"{path} is missing: publish the bundle again")
        if path.stat().st_size != expected.bytes or file_sha256(path) != expected.sha256:
            raise BundleError(f"{path} does not match its manifest: publish the bundle again")


def _check_config(path: Path, manifest: Manifest) -> None:
    try:
        id2label = json.loads(read_text(path))["id2label"]
        labels = [id2label[str(index)] for index in range(len(id2label))]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{path} has no usable id2label: {error!r}") from error
    if labels != manifest.labels:
        wrong = f"id2label ({listed(labels)}) is not the manifest's labels"
        raise BundleError(f"{path}: {wrong} ({listed(manifest.labels)})")


def key(bundle: Bundle) -> VariantKey:
    """Return the bundle's family, variant and version."""
    return (bundle.manifest.family, bundle.manifest.variant, bundle.manifest.version)
