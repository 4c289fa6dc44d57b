"""Choose an engine by what an earlier start measured, where that still holds; else measure."""

import time
from collections.abc import Mapping

import numpy as np

from serving.bundles.bundle import Bundle
from serving.errors import BundleError, EngineFailed, StartError, own_words
from serving.inference.cost_model import Lane
from serving.inference.cpu import usable_cores
from serving.inference.engine import EngineName, Resources
from serving.inference.engine_selection import (
    ENGINES,
    Chosen,
    MakeEngine,
    choose,
    logits_of,
    probes_of,
    wide_engine,
)
from serving.inference.single_text_engine import SingleTextEngine
from serving.inference.timed_batches import Conditions
from serving.inference.tokenizer import Tokenizer
from serving.inference.tuning import Key, Tuning, folder_of, key_of, read_tuning, write_tuning
from serving.inference.warmup import pace_s
from serving.logs import log
from serving.settings import Settings

# Other programs and clock rates move the time of a batch by less than this factor.
_MOST_PACE = 2.0
_KEPT_PROBES = 4
_MOST_REASON = 4096


def resources_of(settings: Settings) -> Resources:
    """Return what the settings let an engine use."""
    threads = settings.threads or usable_cores()
    return Resources(settings.device, threads, gpu_memory_bytes=settings.gpu_memory_bytes)


def tuning_key(bundle: Bundle, settings: Settings) -> Key:
    """Return everything that the measurements of a bundle depend on, here and by the settings."""
    return key_of(bundle, settings.engine, resources_of(settings), settings.max_batch_tokens)


def kept_tuning(bundle: Bundle, settings: Settings) -> Tuning | None:
    """Return what an earlier start kept of a bundle, None if there is nothing that may be used.

    What was kept has been tried, with this content and on this kind of machine; what was not must
    not even have its tokenizer opened before it is tried.
    """
    folder = folder_of(settings.tuning, settings.registry[0])
    return read_tuning(folder, tuning_key(bundle, settings)) if folder else None


def restored(
    tuning: Tuning,
    bundle: Bundle,
    tokenizer: Tokenizer | None,
    settings: Settings,
    *,
    beside_traffic: bool = False,
    engines: Mapping[EngineName, MakeEngine] = ENGINES,
) -> Chosen | None:
    """Load the engine that an earlier start chose; None if what was kept no longer fits.

    It fits if the engine answers the first probes as the reference did, within the manifest's
    `logit_tolerance`, and runs a batch of the budget in half to twice the time; `beside_traffic`,
    which would change that time, it is not compared. The log says why one does not fit.
    """
    resources = resources_of(settings)
    try:
        chosen = _loaded(tuning, bundle, resources, engines)
        reason = _disagreement(tuning, chosen, bundle, tokenizer)
        if not reason and not beside_traffic:
            pace = _pace_s(chosen, bundle, settings) / tuning.pace_s
            slow = not 1 / _MOST_PACE <= pace <= _MOST_PACE
            reason = f"a batch takes {pace:.2f} times as long" if slow else ""
    except (StartError, EngineFailed) as error:
        reason = own_words(error)
    if reason:
        log("tuning does not fit", version=bundle.manifest.version, reason=reason)
        return None
    return chosen


def measured(
    bundle: Bundle,
    tokenizer: Tokenizer | None,
    settings: Settings,
    *,
    beside_traffic: bool = False,
    engines: Mapping[EngineName, MakeEngine] = ENGINES,
) -> Chosen:
    """Choose an engine as `choose` does."""
    return choose(
        bundle,
        tokenizer,
        settings.engine,
        resources_of(settings),
        max_batch_tokens=settings.max_batch_tokens,
        beside_traffic=beside_traffic,
        engines=engines,
    )


def keep(chosen: Chosen, bundle: Bundle, tokenizer: Tokenizer | None, settings: Settings) -> None:
    """Keep the choice for later starts, unless the settings keep nothing.

    It must have been measured without traffic, and the bundle must have been tried. Where it cannot
    be kept, the log says why.
    """
    folder = folder_of(settings.tuning, settings.registry[0])
    if not folder:
        return
    try:
        write_tuning(folder, tuning_of(chosen, bundle, tokenizer, settings))
    except (EngineFailed, OSError, ValueError) as error:
        log("tuning not kept", version=bundle.manifest.version, reason=own_words(error))


def tuning_of(
    chosen: Chosen, bundle: Bundle, tokenizer: Tokenizer | None, settings: Settings
) -> Tuning:
    """Return what is to be kept of a choice. Raises EngineFailed, and ValueError if it is odd."""
    logits = chosen.expected
    if logits is None:
        probes = probes_of(bundle, tokenizer, chosen.engine)[:_KEPT_PROBES]
        logits = logits_of(chosen.engine, probes)
    return Tuning(
        key=dict(tuning_key(bundle, settings)),
        engine=chosen.name,
        packed=chosen.lane.packed,
        wide=chosen.wide,
        reason=chosen.reason[:_MOST_REASON],
        max_batch_tokens=chosen.lane.max_batch_tokens,
        tokens=chosen.cost.tokens,
        linear_s=chosen.cost.linear_s,
        attention_s=chosen.cost.attention_s,
        pace_s=_pace_s(chosen, bundle, settings),
        logits=logits[:_KEPT_PROBES].tolist(),
    )


def _loaded(
    tuning: Tuning, bundle: Bundle, resources: Resources, engines: Mapping[EngineName, MakeEngine]
) -> Chosen:
    engine = engines[tuning.engine](bundle, resources)
    if engine.packed and not tuning.packed:
        engine = engine.unpacked()
    if engine.packed != tuning.packed:
        raise BundleError(f"{bundle.model_path} cannot pack texts")
    cost = tuning.cost
    lane = Lane(cost.seconds, tuning.max_batch_tokens, engine.packed, engine.preempts)
    if tuning.wide:
        wide = wide_engine(tuning.engine, engine, bundle, resources, engines)
        engine = SingleTextEngine(engine, wide)
    reason = f"{tuning.reason}; measured at an earlier start"
    return Chosen(tuning.engine, engine, cost, lane, reason, wide=tuning.wide)


def _disagreement(
    tuning: Tuning, chosen: Chosen, bundle: Bundle, tokenizer: Tokenizer | None
) -> str:
    """Return how the engine's answers differ from the reference's, "" if they agree."""
    expected = np.array(tuning.logits, np.float32)
    probes = probes_of(bundle, tokenizer, chosen.engine)[: len(expected)]
    found = logits_of(chosen.engine, probes)
    if found.shape != expected.shape:
        return "it is of other probes or labels"
    difference = float(np.abs(found - expected).max())
    agrees = difference <= bundle.manifest.logit_tolerance
    return "" if agrees else f"logits differ by up to {difference:.1e}"


def _pace_s(chosen: Chosen, bundle: Bundle, settings: Settings) -> float:
    cpu_clock = time.process_time if settings.device == "cpu" else None
    return pace_s(
        chosen.engine,
        chosen.lane.max_batch_tokens,
        bundle.manifest.max_length,
        Conditions(cpu_clock=cpu_clock),
    )
