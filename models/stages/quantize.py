"""The stage `quantize`: writes a bundle's weights in a smaller number format.

The operators whose quantization moves the logits most keep the parent's format, as far as the
recipe's limit of the accuracy lost requires.
"""

import json
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import onnx

from models.data.labelled import (
    LabelledText,
    LabelSet,
    has_labels,
    label_matrix,
    read_labels,
    read_split,
)
from models.evaluation.noninferiority import largest_loss, proved, texts_needed
from models.evaluation.predictions import Predictor, predicted
from models.evaluation.statistics import Flags, correct
from models.graphs import nncf_int8
from models.graphs.number_formats import copy_inputs, feeds_of, finish, write_source
from models.graphs.quantizers import OnnxScheme, operators, quantize_graph
from models.graphs.sensitivity import by_sensitivity
from models.job import Job
from models.recipe import RecipeError
from models.recipe_sections import QuantizeSection
from serving.bundles.bundle import (
    MODEL_NAME,
    OPENVINO_NAMES,
    Bundle,
    read_bundle,
)
from serving.inference.signature import Feed

KEPT_KEY = "sizewise.kept_operators"
_RANGE_TEXTS = 300
_SENSITIVITY_TEXTS = 128
_LARGEST_KEPT_SHARE = 0.5
_Write = Callable[[Path, Collection[str]], None]


class Quantizer(Protocol):
    """Writes a graph in another number format, as quantizers.quantize_graph does."""

    def __call__(
        self,
        scheme: OnnxScheme,
        source: Path,
        output: Path,
        kept: Collection[str],
        calibration: list[Feed],
    ) -> None:
        """Write `source` as `output`, except for the operators `kept`."""


@dataclass(frozen=True)
class _Loss:
    """The accuracy that a number format costs on the validation split, and its upper bound.

    `what` is lost: agreement with the original where that labelled the texts.
    """

    what: str
    before: float
    after: float
    bound: float

    def __str__(self) -> str:
        return (
            f"validation: {self.what} {self.before:.4f}, quantized {self.after:.4f}, "
            f"at most {self.bound:.4f} lower at 95 %"
        )


class _AccuracyLimit:
    """How much accuracy the recipe lets a number format cost, measured on the validation split.

    The upper 95 % bound of the loss counts, because on few texts a loss is easily missed.
    """

    def __init__(
        self, job: Job, section: QuantizeSection, rows: list[LabelledText], labels: LabelSet
    ) -> None:
        """Raise RecipeError when so few texts cannot show it."""
        self.texts = [row.text for row in rows]
        self.truth = label_matrix(rows, labels)
        self.labels = labels
        self.most = section.max_accuracy_drop
        is_labelled = has_labels(job.inputs["data"])
        self._lost = "accuracy" if is_labelled else "agreement with the original"
        self._longer = "distil longer, " if job.lineage[-2].distill else ""
        self._what = f"{job.recipe.variant}: quantize: {section.scheme}"
        if len(rows) < (needed := texts_needed(self.most)):
            raise RecipeError(
                f"{self._what}: {len(rows)} validation texts cannot show that {self._lost} drops "
                f"by at most max_accuracy_drop {self.most}: even without a loss it takes {needed}: "
                "hold out more texts or allow more"
            )

    def hits(self, bundle: Bundle) -> Flags:
        return _hits(bundle, self.texts, self.truth, self.labels)

    def loss(self, before: Flags, bundle: Bundle) -> _Loss:
        """Compare a bundle with its parent, whose hits are `before`."""
        after = self.hits(bundle)
        better, worse = int((after & ~before).sum()), int((before & ~after).sum())
        bound = largest_loss(better, worse, len(before))
        return _Loss(self._lost, float(before.mean()), float(after.mean()), bound)

    def allows(self, loss: _Loss) -> bool:
        return loss.bound <= self.most

    def refusal(self, loss: _Loss, despite: str) -> RecipeError:
        return RecipeError(
            f"{self._what} loses {loss.before - loss.after:.4f} of {self._lost} on "
            f"{len(self.texts)} validation texts, so up to {loss.bound:.4f} at 95 %, more than "
            f"max_accuracy_drop {self.most}, {despite}: {self._longer}hold out more texts, "
            "allow more or choose another scheme"
        )


def run(job: Job, quantizer: Quantizer = quantize_graph) -> None:
    """Write the quantized bundle, not yet evaluated.

    The graph's metadata names the operators that keep the parent's format, as JSON under
    `sizewise.kept_operators`. The ranges of activations are those seen on training texts, because
    the other splits test, calibrate or judge. Raises RecipeError when the accuracy may drop by more
    than `max_accuracy_drop` even if half of the operators keep it.
    """
    section = job.recipe.quantize
    assert section is not None
    parent = read_bundle(job.inputs["parent_bundle"])
    copy_inputs(parent, job.output)
    labels, rows = read_labels(job.inputs["data"]), read_split(job.inputs["data"], "validation")
    limit = _AccuracyLimit(job, section, rows, labels)
    training = read_split(job.inputs["data"], "train")
    texts = [row.text for row in training[:_RANGE_TEXTS]]
    kept: list[str] = []
    if section.scheme == "int8-openvino":
        # As many as validation texts, so that the bound of a loss is as wide on both.
        _openvino(parent, job.output, texts, training[-len(rows) :], limit)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            source = _source(job, parent, section.scheme, Path(scratch))
            feeds = feeds_of(parent, source, texts)
            write = _writer(partial(quantizer, section.scheme, source, calibration=feeds))
            names = operators(source, section.scheme)
            ranking = by_sensitivity(names, write, parent, texts[:_SENSITIVITY_TEXTS])
            kept = _quantize_within(limit, parent, job.output, ranking, write)
    manifest = finish(section.scheme, parent, job.recipe.variant, job.recipe.parent, job.output)
    print(f"{manifest.bytes:,} bytes; the parent has {parent.manifest.bytes:,}")
    if kept:
        print(f"operators in the parent's format: {', '.join(kept)}")


def _hits(bundle: Bundle, texts: list[str], truth: Flags, labels: LabelSet) -> Flags:
    return correct(truth, predicted(Predictor(bundle).logits(texts), labels.problem_type))


def _openvino(
    parent: Bundle,
    output: Path,
    calibration: list[str],
    search: list[LabelledText],
    limit: _AccuracyLimit,
) -> None:
    """Write OpenVINO's format; NNCF itself looks for the operators to keep, on training texts.

    The validation texts judge what it has found, once, so their bound has its confidence.
    """
    feeds = partial(feeds_of, parent, parent.model_path)
    texts, truth = [row.text for row in search], label_matrix(search, limit.labels)
    right = _hits(parent, texts, truth, limit.labels)
    nncf_int8.write(
        parent.model_path,
        output / OPENVINO_NAMES[0],
        feeds(calibration),
        list(zip(feeds(texts), truth, right.tolist(), strict=True)),
        problem_type=limit.labels.problem_type,
        max_accuracy_drop=limit.most,
    )
    manifest = parent.manifest.model_copy(update={"files": dict.fromkeys(OPENVINO_NAMES)})
    loss = limit.loss(limit.hits(parent), Bundle(output, manifest))
    print(loss)
    if not limit.allows(loss):
        raise limit.refusal(
            loss, f"with the operators kept that {len(search)} training texts asked for"
        )


def _quantize_within(
    limit: _AccuracyLimit,
    parent: Bundle,
    output: Path,
    ranking: list[str],
    write: _Write,
) -> list[str]:
    """Write the graph with some operators in the parent's format; return their names.

    They are the first of `ranking`: half of them, then half as many and so on down to none, while
    the loss is shown to be within the limit. Starting from the safe side keeps the confidence of
    the bound, although each step looks at the same texts.
    """
    before = limit.hits(parent)
    quantized = Bundle(output, parent.manifest)
    counts = [int(_LARGEST_KEPT_SHARE * len(ranking))]
    while counts[-1]:
        counts.append(counts[-1] // 2)
    losses: list[_Loss] = []

    def bounds() -> Iterator[float]:
        for count in counts:
            write(quantized.model_path, ranking[:count])
            losses.append(limit.loss(before, quantized))
            print(f"{losses[-1]}, with {count} of {len(ranking)} operators kept")
            yield losses[-1].bound

    passed = proved(bounds(), limit.most)
    if not passed:
        raise limit.refusal(losses[0], f"even with {counts[0]} of {len(ranking)} operators kept")
    kept = ranking[: counts[passed - 1]]
    write(quantized.model_path, kept)
    return kept


def _writer(quantize: _Write) -> _Write:
    """`quantize`, which also names the operators `kept` in the graph's metadata."""

    def write(output: Path, kept: Collection[str]) -> None:
        quantize(output, kept)
        model = onnx.load(output)
        onnx.helper.set_model_props(model, {KEPT_KEY: json.dumps(list(kept))})
        onnx.save(model, output)

    return write


def _source(job: Job, parent: Bundle, scheme: OnnxScheme, scratch: Path) -> Path:
    """The graph to quantize: the parent's, with attention split up where the scheme needs it."""
    if job.lineage[-2].quantize and scheme not in ("int8-dynamic", "fp16"):
        raise RecipeError(
            f"{job.recipe.variant}: quantize: {job.recipe.parent} is already quantized: "
            "make the variant that has its weights the parent"
        )
    write_source(scheme, parent.model_path, scratch / MODEL_NAME)
    return scratch / MODEL_NAME
