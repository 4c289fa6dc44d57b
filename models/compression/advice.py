"""Which variant to serve: the smallest that is good, small and fast enough. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.compression.wanted import Wanted
from models.evaluation.noninferiority import largest_loss
from models.reports.markdown import percent, table
from serving.bundles.bundle import Manifest
from serving.bundles.cascade import Cascade
from serving.bundles.files import listed

_CHOOSING_SPLIT = "validation"
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Advice:
    """The variant to serve, None if none fits, and why in a sentence."""

    variant: str | None
    says: str


def advise(
    manifests: Sequence[Manifest],
    latencies_ms: Mapping[str, float],
    teacher: str,
    wanted: Wanted,
    unmade: Sequence[int] = (),
) -> Advice:
    """Choose the variant of fewest bytes whose drop, bytes and latency are within what is wanted.

    The drop that chooses is measured on the validation split, so that the test split only judges.
    Without labels it is the share of texts that the original answers otherwise. Where there is one
    set of texts, the bounds of all variants hold together, so it both chooses and judges.
    `latencies_ms` are the medians of single texts, `unmade` the bytes of variants that there was no
    time for.
    """
    drops = _drops(manifests, teacher)
    fitting = [
        each
        for each in manifests
        if drops[each.variant].choosing.value <= wanted.max_drop
        and (wanted.max_bytes is None or each.bytes <= wanted.max_bytes)
        and (wanted.latency_ms is None or latencies_ms[each.variant] <= wanted.latency_ms)
    ]
    if not fitting:
        return Advice(None, _nothing(manifests, drops, latencies_ms, wanted, unmade))
    chosen = min(fitting, key=lambda each: each.bytes)
    found = drops[chosen.variant].judging
    where = "on the test split" if _are_divided(manifests) else "on the texts"
    whole = {each.variant: each for each in manifests}.get(teacher)
    of = "agreement with the original"
    if chosen.judged:
        its = f"'s {percent(whole.judged.accuracy)}" if whole and whole.judged else ""
        of = f"accuracy against {teacher}{its}"
    shown = "so --max-drop is shown to hold"
    if whole and whole.recipe.get("static"):
        shown = "which says nothing of what a larger model would reach"
    elif found.value > wanted.max_drop:
        shown = "more than --max-drop: more texts would choose better"
    elif found.most > wanted.max_drop:
        shown = "so --max-drop is likely, but not shown: it takes more texts"
    return Advice(
        chosen.variant,
        f"{chosen.variant}: {chosen.bytes / 1e6:,.2f} MB, a lone text takes "
        f"{latencies_ms[chosen.variant]:.2f} ms; {where} it loses {found} "
        f"points of {of}, with 95 % confidence, {shown}.",
    )


def beside(
    cascade: Cascade, manifests: Sequence[Manifest], advised: str | None, wanted: Wanted
) -> str:
    """Say what a cascade of these variants is, gains and loses, beside the advised one."""
    reference, expected = cascade.reference.variant, cascade.expected
    stages = [stage.variant for stage in cascade.stages]
    size = sum(each.bytes for each in manifests if each.variant in stages)
    gain = expected.reference_cost_s / expected.cost_s
    says = (
        f"{listed(stages)} ({size / 1e6:,.2f} MB): {gain:.2f} times the throughput of {reference}"
    )
    speeds = {m.variant: m.judged.texts_per_second for m in manifests if m.judged}
    speed, its = speeds.get(reference), speeds.get(advised or reference)
    if advised not in (None, reference) and speed and its:
        says += f", where {advised} has {its / speed:.2f} times by its card"
    says += (
        f"; a lone text takes {expected.p50_ms:.2f} ms at the median and {expected.p99_ms:.2f} at "
        f"the 99th percentile, {expected.reference_p50_ms:.2f} and {expected.reference_p99_ms:.2f} "
        f"by {reference}; "
    )
    if cascade.versus:
        lost = -100 * cascade.versus.difference.value
        says += f"on the test split it loses {lost:z.1f} points against {reference}; "
    says += f"at most {100 * cascade.bound:.1f} are guaranteed, with 95 % confidence"
    limits = {
        "--max-bytes": (size, wanted.max_bytes),
        "--latency-ms": (expected.p50_ms, wanted.latency_ms),
    }
    beyond = [name for name, (its, most) in limits.items() if most is not None and its > most]
    return f"{says}; it is beyond {' and '.join(beyond)}" if beyond else says


def comparison(
    manifests: Sequence[Manifest], latencies_ms: Mapping[str, float], teacher: str
) -> str:
    """Tabulate what decides: size, lone latency, and the drop and its 95 % bound by split."""
    drops = _drops(manifests, teacher)
    columns: tuple[str, ...] = ("drop on validation, points", "drop on test, points")
    if not _are_divided(manifests):
        columns = ("drop, points",)
    rows = [
        (
            each.variant,
            f"{each.bytes / 1e6:,.2f}",
            f"{latencies_ms[each.variant]:.2f}",
            *(drops[each.variant].choosing, drops[each.variant].judging)[: len(columns)],
        )
        for each in sorted(manifests, key=lambda manifest: -manifest.bytes)
    ]
    return table(("variant", "MB", "lone text, ms", *columns), rows)


@dataclass(frozen=True)
class _Drop:
    """What is lost against the teacher, as a fraction, and how much it may be at 95 %."""

    value: float
    most: float

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} (at most {100 * self.most:.1f})"


@dataclass(frozen=True)
class _Drops:
    """The drop that chooses, and the one that judges what is chosen."""

    choosing: _Drop
    judging: _Drop


def _are_divided(manifests: Sequence[Manifest]) -> bool:
    """Whether all variants have figures on two sets of texts: one chooses, the other judges."""
    return all(_CHOOSING_SPLIT in each.evaluations for each in manifests)


def _drops(manifests: Sequence[Manifest], teacher: str) -> dict[str, _Drops]:
    if _are_divided(manifests):
        return {
            each.variant: _Drops(*(_drop(each, teacher, s, 1) for s in (_CHOOSING_SPLIT, "test")))
            for each in manifests
        }
    compared = max(1, sum(each.variant != teacher for each in manifests))
    once = {each.variant: _drop(each, teacher, "test", compared) for each in manifests}
    return {variant: _Drops(drop, drop) for variant, drop in once.items()}


def _drop(manifest: Manifest, teacher: str, split: str, compared: int) -> _Drop:
    """The drop on a split, with a bound that holds for so many at once, by Bonferroni."""
    if manifest.variant == teacher:
        return _Drop(0.0, 0.0)
    evaluation = manifest.evaluations.get(split)
    if manifest.agreement:
        texts = manifest.agreement.n
        better, worse = 0, round((1 - manifest.agreement.share.value) * texts)
    else:
        assert evaluation is not None
        pair, texts = evaluation.versus[teacher], evaluation.n
        better, worse = pair.better, pair.worse
    most = largest_loss(better, worse, texts, 1 - (1 - _CONFIDENCE) / compared)
    return _Drop((worse - better) / texts, most)


def _nothing(
    manifests: Sequence[Manifest],
    drops: Mapping[str, _Drops],
    latencies_ms: Mapping[str, float],
    wanted: Wanted,
    unmade: Sequence[int],
) -> str:
    """Say how near the variants come to the limits, from either side of the drop."""
    says = "No variant is within all of what is wanted"
    if good := [m for m in manifests if drops[m.variant].choosing.value <= wanted.max_drop]:
        smallest = min(good, key=lambda each: each.bytes)
        fastest = min(good, key=lambda each: latencies_ms[each.variant])
        faster = "" if smallest is fastest else f"{fastest.variant} "
        says += (
            f": of those that lose at most --max-drop {wanted.max_drop:g}, {smallest.variant} is "
            f"the smallest with {smallest.bytes / 1e6:,.2f} MB and {faster}the fastest "
            f"with {latencies_ms[fastest.variant]:.2f} ms for a lone text"
        )
    most_bytes = math.inf if wanted.max_bytes is None else wanted.max_bytes
    most_ms = math.inf if wanted.latency_ms is None else wanted.latency_ms
    small = [m for m in manifests if m.bytes <= most_bytes and latencies_ms[m.variant] <= most_ms]
    if small:
        nearest = min(small, key=lambda each: drops[each.variant].choosing.value)
        says += (
            f"; of those within the other limits {nearest.variant} loses least, "
            f"{drops[nearest.variant].judging} points, with 95 % confidence, of "
            f"{'accuracy' if nearest.judged else 'agreement with the original'}"
        )
    # A student that is smaller than one that lost too much is no better.
    largest = max((each.bytes for each in small), default=0)
    more = ", or more --minutes" if any(largest < size <= most_bytes for size in unmade) else ""
    served = "" if len(manifests) == 1 else " All variants are served, so a request may name one."
    return f"{says}. Allow more{more}.{served}"
