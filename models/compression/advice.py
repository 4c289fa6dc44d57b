"""Which variant to serve: the smallest that is good, small and fast enough. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.compression.wanted import Wanted
from models.reports.markdown import table
from serving.bundles.bundle import Manifest
from serving.bundles.evaluation import Estimate

_CHOOSING_SPLIT = "validation"


@dataclass(frozen=True)
class Advice:
    """The variant to serve, None if none fits, and why in a sentence."""

    variant: str | None
    says: str


def advise(
    manifests: Sequence[Manifest], latencies_ms: Mapping[str, float], teacher: str, wanted: Wanted
) -> Advice:
    """Choose the variant of fewest bytes whose drop, bytes and latency are within what is wanted.

    The drop that chooses is measured on the validation split, so that the test split only judges;
    without labels it is the share of texts that the original answers otherwise. `latencies_ms` are
    the medians of single texts.
    """
    fitting = [
        each
        for each in manifests
        if _drop(each, teacher, _CHOOSING_SPLIT).value <= wanted.max_drop
        and (wanted.max_bytes is None or each.bytes <= wanted.max_bytes)
        and (wanted.latency_ms is None or latencies_ms[each.variant] <= wanted.latency_ms)
    ]
    if not fitting:
        return Advice(None, _nothing(manifests, latencies_ms, teacher, wanted))
    chosen = min(fitting, key=lambda each: each.bytes)
    found = _drop(chosen, teacher, "test")
    points = f"{100 * found.value:.1f} points ({100 * found.low:.1f} to {100 * found.high:.1f})"
    of = "accuracy" if chosen.judged else "agreement with the original"
    shown = "so --max-drop is shown to hold"
    if found.low > wanted.max_drop:
        shown = "so --max-drop does not hold there: take the next larger variant, or more texts"
    elif found.high > wanted.max_drop:
        shown = "so --max-drop is likely, but not shown: it takes more texts"
    return Advice(
        chosen.variant,
        f"{chosen.variant}: {chosen.bytes / 1e6:,.2f} MB, a lone text takes "
        f"{latencies_ms[chosen.variant]:.2f} ms; on the test split it loses {points} of {of}, "
        f"{shown}.",
    )


def comparison(
    manifests: Sequence[Manifest], latencies_ms: Mapping[str, float], teacher: str
) -> str:
    """Tabulate what decides: size, lone latency, and the drop with its interval on both splits."""
    rows = []
    for each in sorted(manifests, key=lambda manifest: -manifest.bytes):
        drops = (_drop(each, teacher, split) for split in (_CHOOSING_SPLIT, "test"))
        rows.append(
            (
                each.variant,
                f"{each.bytes / 1e6:,.2f}",
                f"{latencies_ms[each.variant]:.2f}",
                *(f"{100 * d.value:.1f} ({100 * d.low:.1f} to {100 * d.high:.1f})" for d in drops),
            )
        )
    header = ("variant", "MB", "lone text, ms", "drop on validation, points", "drop on test")
    return table(header, rows)


def _drop(manifest: Manifest, teacher: str, split: str) -> Estimate:
    """What is lost against the teacher, as a fraction with its interval."""
    if manifest.agreement:
        share = manifest.agreement.share
        return Estimate(value=1 - share.value, low=1 - share.high, high=1 - share.low)
    evaluation = manifest.evaluations.get(split) or manifest.judged
    pair = evaluation.versus.get(teacher) if evaluation else None
    if pair is None:  # the teacher itself
        return Estimate(value=0.0, low=0.0, high=0.0)
    gain = pair.difference
    return Estimate(value=0.0 - gain.value, low=0.0 - gain.high, high=0.0 - gain.low)


def _nothing(
    manifests: Sequence[Manifest], latencies_ms: Mapping[str, float], teacher: str, wanted: Wanted
) -> str:
    """Say how near the variants come, and to what."""
    within = [
        each for each in manifests if _drop(each, teacher, _CHOOSING_SPLIT).value <= wanted.max_drop
    ]
    if not within:
        return f"No variant loses at most --max-drop {wanted.max_drop:g}: allow more."
    smallest = min(each.bytes for each in within)
    fastest = min(latencies_ms[each.variant] for each in within)
    return (
        f"No variant is within all of what is wanted: of those that lose at most "
        f"--max-drop {wanted.max_drop:g}, the smallest has {smallest / 1e6:,.2f} MB and the "
        f"fastest takes {fastest:.2f} ms for a lone text: allow more, or more --minutes."
    )
