"""Select the engine of a bundle: the configured one, or the fastest that agrees."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from serving.bundles.bundle import Bundle
from serving.errors import BundleError, EngineFailed, StartError
from serving.extras import optional_packages
from serving.inference.cost_model import CostModel, Lane
from serving.inference.engine import Engine, EngineName, Logits, Resources
from serving.inference.inputs import Item
from serving.inference.ort_engine import OrtEngine
from serving.inference.probes import tensor_rows
from serving.inference.single_text_engine import SingleTextEngine
from serving.inference.timed_batches import Clock, Conditions
from serving.inference.tokenizer import Tokenizer
from serving.inference.warmup import single_text_speedup, unpacked_speedup, warm_up

MakeEngine = Callable[[Bundle, Resources], Engine]


def _openvino(bundle: Bundle, resources: Resources) -> Engine:
    with optional_packages("SIZEWISE_ENGINE"):
        # A host with a GPU needs no OpenVINO.
        from serving.inference.openvino_engine import OpenVinoEngine  # noqa: PLC0415
    return OpenVinoEngine(bundle, resources)


ENGINES: Mapping[EngineName, MakeEngine] = {"onnxruntime": OrtEngine, "openvino": _openvino}
_TYPICAL_TOKENS = 32
# Smaller speed-ups are within the noise of warm-up, and replicas should choose alike.
_WORTHWHILE_SPEEDUP = 1.1
_PROBE = (
    "the a service was quick and friendly but our second order came late cold and without any "
    "word of apology so I would not go there again even though the food itself is really good "
    "Warum denn nicht? 12.50 € no!! :) très bien, merci; please call me back tomorrow at 5 pm."
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The selected engine of one bundle, its measured cost, and the reason."""

    name: EngineName
    engine: Engine
    cost: CostModel
    lane: Lane
    """The lane by that cost."""
    reason: str
    layout: str = ""
    """Why texts share rows or do not, if the graph takes both."""
    wide: bool = False
    """Whether a single text gets all cores."""
    expected: Logits | None = None
    """The reference engine's logits of the probes, where engines were compared."""


def text_ms(lane: Lane, bundle: Bundle) -> float:
    """Return the slot time of a text of 32 tokens in full batches: about one sentence."""
    return lane.share_s(min(_TYPICAL_TOKENS, bundle.manifest.max_length)) * 1e3


def reference(bundle: Bundle) -> EngineName:
    """Name the engine that defines a bundle's answers: ONNX Runtime if it can read it."""
    return "onnxruntime" if bundle.model_path.suffix == ".onnx" else "openvino"


def choose(
    bundle: Bundle,
    tokenizer: Tokenizer | None,
    requested: EngineName | Literal["auto"],
    resources: Resources,
    *,
    max_batch_tokens: int,
    beside_traffic: bool = False,
    engines: Mapping[EngineName, MakeEngine] = ENGINES,
    clock: Clock = time.perf_counter,
    cpu_clock: Clock = time.process_time,
) -> Chosen:
    """Load and warm up the requested engine, with batches of at most `max_batch_tokens`.

    `auto` loads every engine that can read the bundle on this device. An engine replaces the
    reference if it is at least 1.1 times as fast on short texts and no logit of the probe texts
    differs by more than the manifest's `logit_tolerance`. An engine that can pack texts takes one a
    row instead if that is at least 1.1 times as fast. A second copy that gives a single text
    all cores is kept if it is at least 1.1 times as fast. `beside_traffic` measures on the cores
    that traffic leaves idle.
    Raises BundleError, StartError or EngineFailed as the engines do.
    """
    typical = min(_TYPICAL_TOKENS, bundle.manifest.max_length)
    # Traffic takes CPU time of this process too, and what a GPU does is not in it.
    counts_cpu = resources.device == "cpu" and not beside_traffic
    conditions = Conditions(beside_traffic, clock, cpu_clock if counts_cpu else None)

    def load(name: EngineName, reason: str) -> Chosen:
        engine = engines[name](bundle, resources)
        max_length = bundle.manifest.max_length
        cost, lane = warm_up(engine, max_length, max_batch_tokens, conditions)
        loaded = Chosen(name, engine, cost, lane, reason)
        return _laid_out(loaded, max_length, max_batch_tokens, conditions)

    if requested != "auto":
        return _widened(load(requested, "requested"), bundle, resources, engines, clock)
    first = reference(bundle)
    best = load(first, "the only engine that reads it")
    probes = probes_of(bundle, tokenizer, best.engine)
    expected = logits_of(best.engine, probes)
    reasons = []
    for name in engines:
        if name == first:
            continue
        try:
            other = load(name, "")
            difference = float(np.abs(logits_of(other.engine, probes) - expected).max())
        except (BundleError, StartError, EngineFailed) as error:
            reasons.append(f"{name} cannot: {_without_folders(str(error), bundle)}")
            continue
        speedup = best.lane.share_s(typical) / other.lane.share_s(typical)
        comparison = f"{speedup:.2f} times as fast, logits differ by up to {difference:.1e}"
        if difference > bundle.manifest.logit_tolerance or speedup < _WORTHWHILE_SPEEDUP:
            reasons.append(f"{name} would be {comparison}")
        else:
            reasons.append(f"{comparison} from {best.name}")
            best = other
    best = replace(best, reason="; ".join(reasons) or best.reason, expected=expected)
    return _widened(best, bundle, resources, engines, clock)


def _without_folders(words: str, bundle: Bundle) -> str:
    """Name a bundle's files by their names alone: a reason is kept, and read where they are not."""
    folders = {bundle.folder, *(path.parent for _, path in bundle.elsewhere)}
    forms = {str(form) for each in folders for form in (each, each.absolute(), each.resolve())}
    for form in sorted(forms - {"."}, key=len, reverse=True):
        words = words.replace(f"{form}/", "").replace(form, Path(form).name)
    return words


def _laid_out(
    loaded: Chosen, max_length: int, max_batch_tokens: int, conditions: Conditions
) -> Chosen:
    """Give each text a row of its own if that is faster than sharing rows."""
    if not loaded.engine.packed:
        return loaded
    speedup = unpacked_speedup(
        loaded.engine, loaded.lane, max_length, _WORTHWHILE_SPEEDUP, conditions
    )
    if speedup < _WORTHWHILE_SPEEDUP:
        layout = f"texts share rows, one a row was only {speedup:.2f} times as fast"
        return replace(loaded, layout=layout)
    engine = loaded.engine.unpacked()
    cost, lane = warm_up(engine, max_length, max_batch_tokens, conditions)
    layout = f"one text a row, at least {speedup:.2f} times as fast"
    return replace(loaded, engine=engine, cost=cost, lane=lane, layout=layout)


def _widened(
    chosen: Chosen,
    bundle: Bundle,
    resources: Resources,
    engines: Mapping[EngineName, MakeEngine],
    clock: Clock,
) -> Chosen:
    """Add a second copy for single texts if it is faster."""
    if chosen.layout:
        chosen = replace(chosen, reason=f"{chosen.reason}; {chosen.layout}")
    if resources.device != "cpu" or resources.threads == 1:
        return chosen
    wide = wide_engine(chosen.name, chosen.engine, bundle, resources, engines)
    typical = min(_TYPICAL_TOKENS, bundle.manifest.max_length)
    speedup = single_text_speedup(chosen.engine, wide, typical, clock)
    if speedup < _WORTHWHILE_SPEEDUP:
        return chosen
    reason = f"{chosen.reason}; a single text gets all cores, {speedup:.2f} times as fast"
    engine = SingleTextEngine(chosen.engine, wide)
    return replace(chosen, engine=engine, reason=reason, wide=True)


def wide_engine(
    name: EngineName,
    engine: Engine,
    bundle: Bundle,
    resources: Resources,
    engines: Mapping[EngineName, MakeEngine],
) -> Engine:
    """Load a second copy of an engine, in its layout, whose runs use all cores."""
    wide = engines[name](bundle, replace(resources, slots=1))
    return wide if engine.packed else wide.unpacked()


def probes_of(bundle: Bundle, tokenizer: Tokenizer | None, engine: Engine) -> Sequence[Item]:
    """Return the texts, or rows of tensors, on which engines must agree."""
    probes = _texts(tokenizer) if tokenizer else tensor_rows(bundle.manifest.tensors)
    return probes or [engine.example(min(_TYPICAL_TOKENS, bundle.manifest.max_length))]


def _texts(tokenizer: Tokenizer) -> Sequence[Item]:
    """Return encodings of 1 to all words of the probe, starting at every fifth word.

    Those that the tokenizer cannot read are left out.
    """
    words = _PROBE.split()
    texts = [
        " ".join(words[start : start + count])
        for start in range(0, len(words), 5)
        for count in (1, 4, 12, len(words))
    ]
    return [encoding for encoding in tokenizer.encode(texts) if encoding.length]


def logits_of(engine: Engine, probes: Sequence[Item]) -> Logits:
    """Return the logits of each probe, which runs alone."""
    return np.concatenate([engine.run([item]) for item in probes])
