"""The answers that a report gives to the five questions of who deploys."""

import math
from dataclasses import dataclass
from typing import Any

from loadtest.analysis.cascade_choices import cascade_description, name_of
from loadtest.analysis.compare import Change
from loadtest.analysis.recommendation import Recommendation, replica_count, requests_of
from loadtest.report.comparison import change_text, changes_sentence
from loadtest.report.one_replica import handles, is_unmeasured
from loadtest.report.recommendation_text import certainty, most_replicas, summary, unknown

_HOURS_A_MONTH = 730
_NOT_ASKED = "Give the scenario a table [deploy] with rps, and the report says how many replicas."
_NO_PRICE = "Give price_per_core_hour or price_per_node_hour in the scenario's table [deploy]."
_NO_CORES = "How many cores the server has is not known: give price_per_node_hour."
_NOT_COMPARED = "`report FOLDER --before EARLIER` compares with an earlier report."
_CHANGES = 3  # named on the first screen; the table below has all


@dataclass(frozen=True)
class Answer:
    """A question to the report with its answer, and what stands behind it."""

    question: str
    answer: str
    details: list[str]


def answers(
    report: dict[str, Any], subject: dict[str, Any] | None, found: Recommendation | None
) -> list[Answer]:
    """Answer the questions; `subject` is the variant to deploy, `found` how it was chosen."""
    return [
        _which(report, subject, found),
        _how_many(subject, found),
        _cost(report, found),
        _trust(report, found),
        _what_changed(report),
    ]


def _which(
    report: dict[str, Any], subject: dict[str, Any] | None, found: Recommendation | None
) -> Answer:
    question = "Which variant?"
    if subject is None:
        is_unknown = found.unmeasured if found else any(map(is_unmeasured, report["variants"]))
        helps = [f"What would help: {each}" for each in found.alternatives] if found else []
        lines = [*helps, *(unknown(found) if found else [])]
        return Answer(question, "Unknown." if is_unknown else "None.", [*map(_sentence, lines)])
    cascade = cascade_description(subject["stages"], subject["brownout_ms"])
    details = [_sentence(cascade)] if cascade else []
    accuracy = subject["accuracy"]
    details.append(
        f"Accuracy {accuracy['value']:.3f}, from {accuracy['low']:.3f} to {accuracy['high']:.3f}."
        if accuracy
        else "Its accuracy is unknown, because it was not evaluated."
    )
    if found and found.cheaper:
        details.append(f"Cheaper, but not accurate enough: {summary(found.cheaper)}.")
    if found and found.better:
        details.append(f"More accurate: {summary(found.better)}.")
    if found and found.uncertain:
        details.append(f"Perhaps enough, but too uncertain: {summary(found.uncertain)}.")
    return Answer(question, f"{name_of(subject)}.", details)


def _how_many(subject: dict[str, Any] | None, found: Recommendation | None) -> Answer:
    question = "How many replicas?"
    if found is None:
        details = [f"One {handles(subject)} within the SLO."] if subject else []
        return Answer(question, "Not asked.", [*details, _NOT_ASKED])
    if found.chosen is None:
        missing = (
            "No variant is accurate enough." if found.lacks_accuracy else "No number is enough."
        )
        return Answer(question, "Unknown." if found.unmeasured else missing, [])
    chosen = found.chosen
    count = replica_count(chosen.replicas)
    each_has = f"Each has {chosen.rate_rps:.0f} {requests_of(found.texts_per_request)}."
    limits = [f"Limited by {each}." for each in found.constraints]
    if not found.is_certain:
        most = f"At the upper bounds of the p99s, {most_replicas(chosen)}."
        return Answer(question, f"Perhaps {count}.", [most, each_has, *limits])
    headroom = f"At least {found.requirements.headroom:.0%} of its capacity stays free."
    return Answer(question, f"{count}.", [each_has, headroom, *limits])


def _cost(report: dict[str, Any], found: Recommendation | None) -> Answer:
    question = "What does it cost?"
    chosen = found.chosen if found else None
    wished = report["scenario"].get("deploy") or {}
    if found and chosen is None:
        return Answer(question, "Unknown." if found.unmeasured else "None.", [])
    if chosen is None or chosen.cost_per_hour is None:
        has_price = wished.get("price_per_core_hour") is not None
        return Answer(question, "Unknown.", [_NO_CORES if has_price else _NO_PRICE])
    node, core = wished["price_per_node_hour"], wished["price_per_core_hour"]
    if node is not None:
        price = f"A price of {node:g} a node an hour, and a node for each replica."
    else:
        cores = report["machine"]["cores"]
        price = f"A price of {core:g} a core an hour, and {cores} cores a replica."
    return Answer(
        question,
        f"{'' if chosen.is_certain else 'Perhaps '}{chosen.cost_per_hour:.3g} an hour.",
        [
            f"{chosen.cost_per_hour * _HOURS_A_MONTH:,.0f} for a month of {_HOURS_A_MONTH} hours.",
            f"{chosen.cost_per_million:.3g} per million requests at the full rate.",
            price,
        ],
    )


def _trust(report: dict[str, Any], found: Recommendation | None) -> Answer:
    question, counted = "Can I trust it?", report["validity"]
    details = []
    if found and found.chosen and found.is_certain:
        details += [_sentence(certainty(found.chosen)), _check(report["check"])]
    phases, planned, excluded = (counted[name] for name in ("phases", "planned", "excluded"))
    if excluded:
        causes = ", ".join(f"{cause} ({count})" for cause, count in counted["causes"].items())
        details.append(f"Left out because {causes}.")
    unmeasured = ", ".join(name_of(each) for each in report["variants"] if is_unmeasured(each))
    if unmeasured and not found:
        details.append(f"Of {unmeasured} no rate is known.")
    if found and found.chosen:
        details += map(_sentence, unknown(found))
    if count := _phases_with_findings(report):
        details.append(f"Findings in {count} phase{'s' * (count > 1)}, which count: see below.")
    missing = planned - phases
    if not excluded and not missing:
        return Answer(question, f"All {phases} phases count.", details)
    lost = []
    if excluded:
        lost.append(f"{excluded} {'is' if excluded == 1 else 'are'} left out")
    if missing:
        lost.append(f"{missing} {'has' if missing == 1 else 'have'} no raw times")
    said = f"{phases - excluded} of {planned} phases count, {', '.join(lost)}."
    return Answer(question, said, details)


def _check(check: dict[str, Any] | None) -> str:
    if check is None:
        return "A prediction until `recommend --check` has measured it."
    p99 = "unanswered" if check["p99_ms"] is None else f"{check['p99_ms']:.1f} ms"
    return (
        f"`recommend --check` measured a p99 of {p99} at {check['rate_rps']:.0f} requests/s, where "
        f"{check['predicted_p99_ms']:.1f} ms were predicted."
    )


def _phases_with_findings(report: dict[str, Any]) -> int:
    return sum(
        not each["refusals"] and bool(each["findings"])
        for variant in report["variants"]
        for load in variant["loads"].values()
        for each in load["rounds"]
    )


def _what_changed(report: dict[str, Any]) -> Answer:
    question, told = "What changed?", report.get("changes")
    if not told:
        return Answer(question, "Not compared.", [_NOT_COMPARED])
    since = f"Since {told['folder']}, measured {told['started_utc']}."
    if told["refused"]:
        return Answer(question, "Unknown.", [_sentence(told["refused"]), since])
    changes = [Change(**each) for each in told["changes"]]
    beyond = [each for each in changes if each.verdict in {"worse", "better"}]
    beyond.sort(key=lambda each: (each.verdict == "better", -_size(each)))
    more = [f"And {len(beyond) - _CHANGES} more, below."] if len(beyond) > _CHANGES else []
    return Answer(
        question,
        f"{changes_sentence(changes)}.",
        [*(f"{change_text(each)}." for each in beyond[:_CHANGES]), *more, since],
    )


def _size(change: Change) -> float:
    """Return how far a figure moved, either way; infinity if it was lost or gained."""
    return abs(math.log(change.ratio)) if change.ratio else math.inf


def _sentence(words: str) -> str:
    words = words.strip()
    return f"{words[:1].upper()}{words[1:]}."
