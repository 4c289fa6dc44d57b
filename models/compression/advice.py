"""Which variant to serve: the smallest that is good, small and fast enough. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.compression.wanted import Wanted
from models.evaluation.noninferiority import largest_loss
from models.reports.markdown import table
from serving.bundles.bundle import Manifest

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
    of = "accuracy" if chosen.judged else "agreement with the original"
    shown = "so --max-drop is shown to hold"
    if found.value > wanted.max_drop:
        shown = "more than --max-drop: more texts would choose better"
    elif found.most > wanted.max_drop:
        shown = "so --max-drop is likely, but not shown: it takes more texts"
    return Advice(
        chosen.variant,
        f"{chosen.variant}: {chosen.bytes / 1e6:,.2f} MB, a lone text takes "
        f"{latencies_ms[chosen.variant]:.2f} ms; on the test split it loses {found} "
        f"points of {of}, "
        f"{shown}.",
    )


def comparison(
    manifests: Sequence[Manifest], latencies_ms: Mapping[str, float], teacher: str
) -> str:
    """Tabulate what decides: size, lone latency, and the drop and its 95 % bound on both splits."""
    rows = []
    for each in sorted(manifests, key=lambda manifest: -manifest.bytes):
        drops = (_drop(each, teacher, split) for split in (_CHOOSING_SPLIT, "test"))
        rows.append(
            (
                each.variant,
                f"{each.bytes / 1e6:,.2f}",
                f"{latencies_ms[each.variant]:.2f}",
                *drops,
            )
        )
    header = (
        "variant",
        "MB",
        "lone text, ms",
        "drop on validation, points",
        "drop on test, points",
    )
    return table(header, rows)


@dataclass(frozen=True)
class _Drop:
    """What is lost against the teacher, as a fraction, and how much it may be at 95 %."""

    value: float
    most: float

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} (at most {100 * self.most:.1f})"


def _drop(manifest: Manifest, teacher: str, split: str) -> _Drop:
    if manifest.agreement:
        share = manifest.agreement.share
        return _Drop(1 - share.value, 1 - share.low)
    evaluation = manifest.evaluations.get(split) or manifest.judged
    pair = evaluation.versus.get(teacher) if evaluation else None
    if evaluation is None or pair is None:  # the teacher itself
        return _Drop(0.0, 0.0)
    most = largest_loss(pair.better, pair.worse, evaluation.n)
    return _Drop((pair.worse - pair.better) / evaluation.n, most)


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
