"""What a report says first: a verdict, the answers to five questions, three figures of the SLO."""

from dataclasses import dataclass, replace
from typing import Any

from loadtest.analysis.cascade_choices import name_of
from loadtest.analysis.deployment import deployment
from loadtest.analysis.recommendation import Recommendation, SizedChoice, replica_count
from loadtest.report.answers import Answer, answers
from loadtest.report.one_replica import fastest_of, most_accurate, one_replica
from loadtest.report.slo_figures import SloFigure, slo_figures

HOW_SURE = {
    "confirmed": "Confirmed: `recommend --check` measured one replica at its share of the rate.",
    "refuted": "Refuted: `recommend --check` measured one replica at its share of the rate.",
    "predicted": "Predicted at the upper ends of the p99s' 95 % intervals.",
    "unchecked": "Predicted without an accuracy, which no variant here has.",
    "measured": "As measured: by the figures themselves, intervals aside.",
    "nothing": "By the p99s themselves; accuracy by the lower end of its interval.",
    "incomplete": "Not sure: the run ended before all its phases were measured.",
    "unsure": "Not sure: the 95 % intervals are too wide.",
    "unknown": "Not known: too few phases count.",
}

_DOUBTED = {"unsure", "unknown", "refuted"}


@dataclass(frozen=True)
class Verdict:
    """The first screen of a report."""

    sentence: str
    certainty: str
    """A key of HOW_SURE."""
    answers: list[Answer]
    figures: list[SloFigure]
    subject: dict[str, Any] | None
    """The variant of the report that it is about."""


def verdict(report: dict[str, Any]) -> Verdict:
    """Sum a report up: for the traffic that its scenario asks for, otherwise for one replica."""
    found = deployment(report)
    sentence, certainty = _sized(found, report["check"]) if found else one_replica(report)
    counted = report["validity"]
    if counted["phases"] < counted["planned"] and certainty not in _DOUBTED:
        certainty = "incomplete"
    chosen = found.chosen if found else None
    subject = _subject(report, chosen, found is not None)
    figures = slo_figures(report, subject, chosen)
    if certainty in _DOUBTED:
        figures = [replace(each, holds=None) for each in figures]
    return Verdict(sentence, certainty, answers(report, subject, found), figures, subject)


def verdict_text(found: Verdict) -> str:
    """Render a verdict as Markdown, which is readable on a terminal too."""
    lines = [f"- {' '.join([each.question, each.answer, *each.details])}" for each in found.answers]
    lines += [f"- {each.name}: {each.value} ({each.limit})." for each in found.figures]
    return "\n".join([f"{found.sentence} {HOW_SURE[found.certainty]}", "", *lines])


def _sized(found: Recommendation, check: dict[str, Any] | None) -> tuple[str, str]:
    asked, chosen = found.requirements, found.chosen
    required = f"{found.requests} with a p99 of at most {asked.slo_p99_ms:g} ms"
    if found.checks_accuracy:
        required += f" and an accuracy of at least {asked.min_accuracy:g}"
    if chosen is None and found.unmeasured:
        return f"What serves {required} is unknown: too many phases were left out.", "unknown"
    if chosen is None:
        return f"Nothing measured here serves {required}.", "nothing"
    deployed = f"{name_of(vars(chosen))} on {replica_count(chosen.replicas)}"
    if not found.is_certain:
        return (
            (
                f"Measure again before you deploy: {deployed} might serve {required}, but the p99s "
                "are too uncertain."
            ),
            "unsure",
        )
    if check and not check["holds"]:
        sentence = (
            f"Measure again before you deploy: {deployed} might serve {required}, but one replica "
            "missed what was predicted of it."
        )
        return sentence, "refuted"
    sentence = f"Deploy {deployed} for {required}, predicted from one replica"
    if not found.checks_accuracy and asked.min_accuracy > 0.0:
        unchecked = f"the accuracy of at least {asked.min_accuracy:g} was not checked"
        return f"{sentence}; {unchecked}.", "unchecked"
    return f"{sentence}.", "confirmed" if check else "predicted"


def _subject(
    report: dict[str, Any], chosen: SizedChoice | None, is_asked: bool
) -> dict[str, Any] | None:
    """Return the variant that the first screen is about."""
    variants: list[dict[str, Any]] = report["variants"]
    if chosen:
        name = name_of(vars(chosen))
        return next(variant for variant in variants if name_of(variant) == name)
    kept = [variant for variant in variants if variant["within_slo"]]
    if is_asked or not kept:
        return None
    within = [variant for variant in kept if variant["accuracy"]]
    return most_accurate(within) if within else fastest_of(kept)
