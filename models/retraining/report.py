"""A turn as a report: what each step found, figures by version, and a picture of the test."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from models.reports.files import write_report
from models.reports.markdown import UNDEFINED, escaped, percent, table
from models.retraining.record import Record, Step, StepName, Turn, VersionFigures
from models.retraining.verdict import Judged
from serving.bundles.evaluation import Estimate

_REPORT = """# {family}, refreshed

{state}

## Steps

{steps}
## New versions beside the live ones, %

{figures}
## By feedback, %

{verdict}
{earlier}"""
_VERSIONS = ("variant", "live version", "new version", "texts", "live", "new", "new minus live")
_FEEDBACK = ("variant", "answers, live", "answers, new", "live", "new", "new minus live")
_WHOLE, _FEWEST_POINTS, _WIDER = 105.0, 5.0, 3.0
"""The picture's height in points: three times what was found last, within these bounds."""
_EARLIER = ("turn ended", "outcome", "new texts", "new minus live, by feedback")


def write(record: Record, output: Path) -> str:
    """Write `refresh.md`, `.json` and `.png` of the last turn; return the sentence that says so."""
    turn = record.turns[-1]
    draw_it = partial(draw, record.family, turn)
    figures = turn.model_dump_json(indent=2) + "\n"
    return write_report(output, "refresh", markdown(record), figures, draw_it)


def collected(turn: Turn, left_out: Sequence[str]) -> list[str]:
    """Say what was collected."""
    of = turn.collected
    assert of is not None, "this is a bug: nothing was collected"
    added = ", ".join(f"{count:,} {split}" for split, count in of.added.items())
    new = sum(of.added.values())
    says = [
        f"{of.feedback:,} logged texts have feedback, {of.tables:,} rows of tables have labels",
        f"{new:,} new texts ({added}), and {of.unlabelled:,} without a label",
    ]
    if of.held_out:
        says.append(
            f"{of.held_out:,} are held out already, and keep the label they have there, also "
            f"{of.disputed:,} that were given another"
        )
    if of.corrected or of.confirmed:
        says.append(
            f"{of.corrected:,} texts of the train split have another label now, and "
            f"{of.confirmed:,} the same"
        )
    if of.contradictory:
        says.append(f"Left out: {of.contradictory:,} texts that were given different labels")
    if of.unfilled:
        says.append(f"Left out: {of.unfilled:,} rows of tables without a label")
    return [*says, *(f"Left out: {each}" for each in left_out)]


def markdown(record: Record) -> str:
    """Return the report."""
    turn = record.turns[-1]
    earlier = [_summary(each) for each in reversed(record.turns[:-1])]
    return _REPORT.format(
        family=record.family,
        state=_state(turn),
        steps=table(("step", "started", "ended", "found"), _steps(turn.steps)),
        figures=_comparison("The test split of before", turn.old_test)
        + _comparison("The collected texts that are in the test split now", turn.new_test),
        verdict=_verdict(turn),
        earlier=f"\n## Earlier turns\n\n{table(_EARLIER, earlier)}" if earlier else "",
    )


def _state(turn: Turn) -> str:
    if turn.outcome:
        return f"{turn.outcome.capitalize()}. {escaped(turn.reason)}"
    if turn.refused and not turn.is_done("make"):
        return f"Refused: {escaped(turn.refused)}"
    done = [name for name in turn.steps if turn.is_done(name)]
    return f"Under way: {done[-1]} is done." if done else "Under way."


def _steps(steps: Mapping[StepName, Step]) -> Iterator[Sequence[object]]:
    for name, step in steps.items():
        ended = f"{step.ended:%Y-%m-%d %H:%M}" if step.ended else UNDEFINED
        yield name, f"{step.started:%Y-%m-%d %H:%M}", ended, escaped("; ".join(step.says))


def _comparison(title: str, figures: Mapping[str, VersionFigures]) -> str:
    if not figures:
        return f"{title}: {UNDEFINED}\n\n"
    rows = [
        (escaped(name), of.live, of.made, f"{of.texts:,}", percent(of.live_accuracy, ""),
         percent(of.accuracy, ""), percent(of.versus.difference, ""))
        for name, of in figures.items()
    ]  # fmt: skip
    return f"{title}:\n\n{table(_VERSIONS, rows)}\n"


def _verdict(turn: Turn) -> str:
    if turn.verdict is None:
        return "No version has been tried yet.\n"
    its = turn.verdict
    rows = [_judged("all", its.pooled), *(_judged(name, of) for name, of in its.variants.items())]
    words = its.words if turn.course else "No new or live version has feedback yet."
    return f"{words}\n\n{table(_FEEDBACK, rows)}"


def _judged(name: str, of: Judged) -> Sequence[object]:
    rates = (f"{100 * each.rate:.1f}" if each.n else UNDEFINED for each in (of.live, of.canary))
    return (
        escaped(name), f"{of.live.n:,}", f"{of.canary.n:,}", *rates, percent(of.difference, "")
    )  # fmt: skip


def _summary(turn: Turn) -> Sequence[object]:
    ended = max((each.ended for each in turn.steps.values() if each.ended), default=None)
    new = sum(turn.collected.added.values()) if turn.collected else 0
    found: Estimate | None = turn.verdict.pooled.difference if turn.verdict else None
    return (
        f"{ended:%Y-%m-%d %H:%M}" if ended else UNDEFINED, turn.outcome or UNDEFINED, f"{new:,}",
        percent(found, ""),
    )  # fmt: skip


def draw(family: str, turn: Turn, path: Path) -> None:
    """Write a PNG: the difference by feedback with its interval, as feedback came in."""
    mpl.use("Agg")
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    axes.axhline(0, color="0.5", linewidth=1)
    margin = -100 * turn.terms.margin
    axes.axhline(margin, color="tab:red", linestyle="--", label="as much worse as allowed")
    if turn.course:
        answers = [each.answers for each in turn.course]
        low, value, high = (
            [100 * getattr(each.difference, end) for each in turn.course]
            for end in ("low", "value", "high")
        )
        axes.fill_between(answers, low, high, alpha=0.25, color="tab:blue")
        axes.plot(answers, value, color="tab:blue", label="new minus live versions")
        reach = min(_WHOLE, max(_FEWEST_POINTS, _WIDER * max(-low[-1], high[-1], -margin)))
        axes.set_ylim(-reach, reach)
    else:
        axes.text(0.5, 0.7, "no feedback yet", ha="center", transform=axes.transAxes)
        axes.set_ylim(-_FEWEST_POINTS, _FEWEST_POINTS)
    axes.set_xlabel("answers with feedback")
    axes.set_ylabel("difference of right answers, points")
    axes.set_title(f"{family}: {turn.outcome or 'under way'}")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)
    plt.close(figure)
