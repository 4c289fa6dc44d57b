"""Explain a recommendation in a few lines."""

from loadtest.analysis.cascade_choices import cascade_description
from loadtest.analysis.recommendation import MAX_FACTOR, Recommendation, SizedChoice, replica_count

_UNSCORED = (
    "no variant here has a measured accuracy ({names}), so the choice is by latency and replicas "
    "alone, and --min-accuracy was not checked; variants made by `python -m models all` have one"
)


def recommendation_text(found: Recommendation) -> str:
    """Explain the recommendation in a few lines."""
    requirements, chosen = found.requirements, found.chosen
    required = (
        f"{found.requests}, p99 at most {requirements.slo_p99_ms:g} ms, accuracy at "
        f"least {requirements.min_accuracy:g}"
    )
    if chosen is None and found.unmeasured:
        return "\n".join(
            [
                f"No recommendation for {required}: too many phases were excluded.",
                *unknown(found),
                "  Measure again, with nothing else on the machine.",
            ]
        )
    if chosen is None:
        alternatives = "\n".join(f"  - {each}" for each in found.alternatives)
        lacking = "".join(f"\n{line}" for line in unknown(found))
        return f"No measured variant meets {required}. What would help:\n{alternatives}{lacking}"
    if not found.is_certain:
        return _uncertain(found, chosen, required)
    lines = [
        f"For {required}:",
        f"  deploy {summary(chosen)}",
        f"  predicted p99: {chosen.p99_ms:.1f} ms at {chosen.rate_rps:.0f} requests/s per replica",
        f"  certainty: {certainty(chosen)}",
        *(f"  limited by {each}" for each in found.constraints),
    ]
    if found.cheaper:
        lines.append(f"  cheaper, but not accurate enough: {summary(found.cheaper)}")
    if found.better:
        lines.append(f"  more accurate: {summary(found.better)}")
    if found.uncertain:
        lines.append(
            f"  perhaps enough, but its p99s are too uncertain: {summary(found.uncertain)}"
        )
    lines += unknown(found)
    return "\n".join(lines)


def _uncertain(found: Recommendation, chosen: SizedChoice, required: str) -> str:
    return "\n".join(
        [
            f"No recommendation for {required}: the measured p99s are too uncertain.",
            f"  by the p99s themselves: {summary(chosen)}",
            f"  at the upper bounds of their intervals: {most_replicas(chosen)}",
            f"  The two must differ by less than a factor of {MAX_FACTOR:g}. Measure again on a",
            "  quiet machine, with more `rounds` or a longer `measured_s`.",
            *unknown(found),
        ]
    )


def unknown(found: Recommendation) -> list[str]:
    """Say which accuracies and p99s are not known, and what that means for the choice."""
    lines = []
    if found.unmeasured:
        lines.append(
            f"  unknown: the p99 of {', '.join(found.unmeasured)}, without a valid round at its "
            "lowest rates"
        )
    if not found.unscored:
        return lines
    names = ", ".join(found.unscored)
    if not found.checks_accuracy:
        return [*lines, f"  unknown: {_UNSCORED.format(names=names)}"]
    return [*lines, f"  unknown: the accuracy of {names}, which therefore cannot be chosen"]


def most_replicas(chosen: SizedChoice) -> str:
    """Say how many replicas the upper bounds of the p99s ask for."""
    if chosen.replicas_if_slow is None:
        return "no number would be enough"
    return f"{replica_count(chosen.replicas_if_slow)} would be needed"


def summary(choice: SizedChoice) -> str:
    """Name a choice with its replicas, accuracy and cost."""
    cost = (
        ""
        if choice.cost_per_hour is None
        else f", cost {choice.cost_per_hour:g} per hour and "
        f"{choice.cost_per_million:.3g} per million requests"
    )
    accuracy = (
        "unknown"
        if choice.accuracy is None
        else f"{choice.accuracy:.3f} (at least {choice.accuracy_low:.3f})"
    )
    cascade = cascade_description(choice.stages, choice.brownout_ms)
    return (
        f"{choice.model}/{choice.variant}{cascade and f' ({cascade})'} on "
        f"{replica_count(choice.replicas)}, accuracy {accuracy}{cost}"
    )


def certainty(chosen: SizedChoice) -> str:
    """Say how sure the number of replicas and the accuracy are."""
    accuracy = (
        "the accuracy is unknown"
        if chosen.accuracy is None
        else "the accuracy's whole interval is high enough"
    )
    exact = (
        ""
        if chosen.replicas == chosen.replicas_if_exact
        else f", by the p99s themselves {replica_count(chosen.replicas_if_exact)} would be"
    )
    return f"enough at the upper bounds of the p99s{exact}; {accuracy}"
