"""The step `watch`: a look at what feedback says so far of the versions on trial."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from models.monitoring.log import NothingLogged, Row
from models.retraining.canary import check_on_trial
from models.retraining.counted import keep_counted, nothing_counts
from models.retraining.course import course_of
from models.retraining.record import Step, Turn
from models.retraining.verdict import judge
from models.retraining.wanted import Wanted
from serving.errors import BundleError

_ONE = 1


def watch(wanted: Wanted, turn: Turn, now: datetime, tell: Callable[[str], None]) -> bool:
    """Look, and note it in `turn`; return whether it is decided, or time is up.

    Raises BundleError if what is compared has been changed, StartError if the log cannot be read.
    """
    check_trial(wanted, turn)
    canaries, terms = turn.canaries, turn.terms
    assert canaries is not None, "this is a bug: no canary was started"
    step = turn.steps.setdefault("watch", Step(started=now))
    up = canaries.since + timedelta(days=terms.days)
    feedback = _feedback(wanted, may_be_none=now >= up)
    counted = keep_counted(wanted.folder, feedback, canaries).values()
    turn.verdict = judge(counted, canaries, terms.margin, terms.confidence)
    turn.course = course_of(counted, terms.confidence)
    step.says = [turn.verdict.words if counted else nothing_counts(feedback, canaries)]
    tell(step.says[0])
    if turn.verdict.decision == "undecided":
        if now < up:
            tell(f"Undecided: the test ends at {up:%Y-%m-%d %H:%M} UTC at the latest")
            return False
        step.says.append(f"Not decided within {terms.days:g} days.")
    step.ended = now
    return True


def check_trial(wanted: Wanted, turn: Turn) -> None:
    """Raise BundleError if somebody has changed what is compared."""
    assert turn.canaries is not None, "this is a bug: no canary was started"
    try:
        check_on_trial(wanted.registry, wanted.family, turn.canaries)
    except BundleError as error:
        raise BundleError(
            f"{error}: put back what is compared, or give this turn up by taking its canaries "
            f"out of traffic.json and removing {wanted.folder}"
        ) from error


def _feedback(wanted: Wanted, *, may_be_none: bool) -> Sequence[Row]:
    try:
        return wanted.read_log(_ONE).feedback
    except NothingLogged:
        if may_be_none:
            return ()
        raise
