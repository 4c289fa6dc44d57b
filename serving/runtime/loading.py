"""Loads and warms up one bundle."""

import time
from collections.abc import Mapping

from serving.bundles.bundle import Bundle
from serving.inference.cpu import usable_cores
from serving.inference.engine import Resources
from serving.inference.engine_selection import Chosen, EngineName, MakeEngine, choose
from serving.inference.tokenizer import Tokenizer, open_tokenizer
from serving.logs import log
from serving.settings import Settings


def load(
    bundle: Bundle,
    settings: Settings,
    engines: Mapping[EngineName, MakeEngine],
    *,
    beside_traffic: bool,
) -> tuple[Tokenizer | None, Chosen]:
    """Open a bundle's tokenizer and its engine, as `choose` does, and log which it is."""
    started_s = time.monotonic()
    manifest = bundle.manifest
    tokenizer = open_tokenizer(bundle)
    resources = Resources(
        settings.device,
        settings.threads or usable_cores(),
        gpu_memory_bytes=settings.gpu_memory_bytes,
    )
    chosen = choose(
        bundle,
        tokenizer,
        settings.engine,
        resources,
        max_batch_tokens=settings.max_batch_tokens,
        beside_traffic=beside_traffic,
        engines=engines,
    )
    log(
        "loaded", model=manifest.family, variant=manifest.variant, version=manifest.version,
        device=settings.device, engine=chosen.name, engine_reason=chosen.reason,
        slots=chosen.engine.slots, max_batch_tokens=chosen.lane.max_batch_tokens,
        seconds=round(time.monotonic() - started_s, 3),
    )  # fmt: skip
    return tokenizer, chosen
