"""Loads one bundle: as an earlier start measured it, or by warming it up."""

import time
from collections.abc import Mapping

from serving.bundles.bundle import Bundle
from serving.inference.engine import EngineName, runs_as
from serving.inference.engine_selection import Chosen, MakeEngine, text_ms
from serving.inference.tokenizer import Tokenizer, open_tokenizer
from serving.inference.tuned_choice import keep, kept_tuning, measured, restored
from serving.logs import log
from serving.runtime.interface import Running
from serving.settings import Settings

Loaded = tuple[Tokenizer | None, Chosen]


def load_tuned(bundle: Bundle, settings: Settings, *, beside_traffic: bool) -> Loaded | None:
    """Open a bundle's tokenizer and its engine, as `restored` does, and log which it is.

    Opens nothing of a bundle of which nothing is kept, since it may have to be tried first.
    """
    started_s = time.monotonic()
    tuning = kept_tuning(bundle, settings)
    if not tuning:
        return None
    tokenizer = open_tokenizer(bundle)
    chosen = restored(tuning, bundle, tokenizer, settings, beside_traffic=beside_traffic)
    if not chosen:
        return None
    _log(bundle, settings, chosen, started_s, tuned=True)
    return tokenizer, chosen


def load(
    bundle: Bundle,
    settings: Settings,
    engines: Mapping[EngineName, MakeEngine],
    *,
    beside_traffic: bool,
    tried: bool,
) -> Loaded:
    """Open a bundle's tokenizer and its engine, as `choose` does, and log which it is.

    What was measured of a bundle that has been `tried` is kept, unless it was `beside_traffic`.
    """
    started_s = time.monotonic()
    tokenizer = open_tokenizer(bundle)
    chosen = measured(bundle, tokenizer, settings, beside_traffic=beside_traffic, engines=engines)
    if tried and not beside_traffic:
        keep(chosen, bundle, tokenizer, settings)
    _log(bundle, settings, chosen, started_s, tuned=False)
    return tokenizer, chosen


def running(chosen: Chosen, bundle: Bundle) -> Running:
    """Describe how a loaded bundle is run."""
    return Running(
        chosen.name,
        chosen.reason,
        runs_as(chosen.name, chosen.engine, bundle.manifest.precision),
        chosen.lane.max_batch_tokens,
        text_ms=text_ms(chosen.lane, bundle),
    )


def _log(
    bundle: Bundle, settings: Settings, chosen: Chosen, started_s: float, *, tuned: bool
) -> None:
    manifest = bundle.manifest
    log(
        "loaded", model=manifest.family, variant=manifest.variant, version=manifest.version,
        device=settings.device, engine=chosen.name, engine_reason=chosen.reason, tuned=tuned,
        slots=chosen.engine.slots, max_batch_tokens=chosen.lane.max_batch_tokens,
        seconds=round(time.monotonic() - started_s, 3),
    )  # fmt: skip
