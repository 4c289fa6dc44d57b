"""What one replica of each variant does within the SLO, in words."""

from collections.abc import Sequence
from typing import Any

from loadtest.analysis.capacity import lacks_its_lowest_rates, texts_per_request
from loadtest.analysis.cascade_choices import cascade_description, name_of
from loadtest.analysis.recommendation import requests_of


def is_unmeasured(variant: dict[str, Any]) -> bool:
    """Tell whether a variant kept no p99 only because rounds at lower rates were excluded."""
    return not variant["within_slo"] and lacks_its_lowest_rates(variant["loads"].values())


def one_replica(report: dict[str, Any]) -> tuple[str, str]:
    """Name the most accurate variant within the SLO and the fastest, and say how sure that is."""
    slo_ms = report["scenario"]["slo_p99_ms"]
    kept = [variant for variant in report["variants"] if variant["within_slo"]]
    if not kept and any(is_unmeasured(variant) for variant in report["variants"]):
        return (
            f"Whether a variant keeps a p99 of at most {slo_ms:g} ms is unknown: measure again.",
            "unknown",
        )
    if not kept:
        sentence = f"No variant kept a p99 of at most {slo_ms:g} ms under any measured open load."
        return sentence, "measured"
    fastest = fastest_of(kept)
    within = [variant for variant in kept if variant["accuracy"]]
    if not within:
        sentence = (
            f"With a p99 of at most {slo_ms:g} ms, one replica of {name_of(fastest)}, the fastest "
            f"variant, {handles(fastest)}; its accuracy is unknown, because it was not evaluated."
        )
        return sentence, "measured"
    best, fastest = most_accurate(within), fastest_of(within)
    sentence = f"With a p99 of at most {slo_ms:g} ms, one replica of {_described(best)}"
    if fastest is best:
        sentence += "; it is both the most accurate and the fastest variant within this limit."
        return sentence, "measured"
    return f"{sentence}; the fastest variant, {_described(fastest)}.", "measured"


def most_accurate(variants: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the most accurate of evaluated variants."""
    return max(variants, key=lambda variant: float(variant["accuracy"]["value"]))


def fastest_of(variants: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the variant with the highest rate within the SLO."""
    return max(variants, key=lambda variant: float(variant["within_slo"]["rate_rps"]))


def handles(variant: dict[str, Any]) -> str:
    """Say which rate a variant handles within the SLO."""
    within = variant["within_slo"]
    more = "at least " if within["measured_out"] else ""
    unit = requests_of(texts_per_request([variant]))
    return f"handles {more}{within['rate_rps']:.0f} {unit}"


def _described(variant: dict[str, Any]) -> str:
    cascade = cascade_description(variant["stages"], variant["brownout_ms"])
    return (
        f"{name_of(variant)} ({cascade and f'{cascade}; '}accuracy "
        f"{variant['accuracy']['value']:.3f}) {handles(variant)}"
    )
