"""One turn of `refresh`, a step after the other; a turn that was stopped goes on where it was."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from models.recipe import Recipe, RecipeError
from models.retraining import report
from models.retraining.canary import (
    check_writable,
    promote,
    publish_beside,
    start_canaries,
    withdraw,
)
from models.retraining.collect import Found, find
from models.retraining.counted import COUNTED_NAME
from models.retraining.division import divide_new
from models.retraining.making import make_versions
from models.retraining.recipes import check_labels, data_of, write_tables
from models.retraining.record import (
    Collected,
    Record,
    Step,
    StepName,
    Turn,
    read_record,
    write_record,
)
from models.retraining.wanted import Wanted, Workshop
from models.retraining.watching import check_trial, watch
from serving.bundles.files import remove
from serving.errors import BundleError, StartError, failures, own_words

Clock = Callable[[], datetime]


def take_turn(
    wanted: Wanted,
    workshop: Workshop,
    tell: Callable[[str], None] = print,
    now: Clock = lambda: datetime.now(UTC),
) -> str:
    """Go on with the family's turn, or take a new one, as far as it goes; return what to do next.

    Raises RecipeError, BundleError or StartError in a sentence where it cannot go on.
    """
    with _alone(wanted.folder):
        record = read_record(wanted.folder, wanted.family)
        try:
            return _Turn(wanted, workshop, record, tell, now).take()
        finally:
            if record.turns:
                tell(report.write(record, wanted.output))


class _Turn:
    """The steps of the record's last turn."""

    def __init__(
        self,
        wanted: Wanted,
        workshop: Workshop,
        record: Record,
        tell: Callable[[str], None],
        now: Clock,
    ) -> None:
        self._wanted = wanted
        self._workshop = workshop
        self._record = record
        self._tell = tell
        self._now = now

    def take(self) -> str:
        """Take all steps that can be taken; return what to do next."""
        if not self._begin():
            self._tell("Nothing new: the last turn has learnt from all feedback and all tables.")
            return "let callers give feedback, then run this again"
        steps: tuple[tuple[StepName, Callable[[], list[str]]], ...] = (
            ("make", self._make), ("publish", self._publish), ("canary", self._start),
        )  # fmt: skip
        for name, do in steps:
            if not self._turn.outcome:
                self._step(name, do)
        if not self._turn.outcome:
            if not self._turn.is_done("watch") and not self._watch():
                return "let callers give feedback, then run this again: the test goes on"
            self._decide()
        return self._end()

    @property
    def _turn(self) -> Turn:
        return self._record.turns[-1]

    def _begin(self) -> bool:
        """Collect, unless the turn under way has collected all; return whether there is a turn."""
        turns = self._record.turns
        under_way = turns[-1] if turns and not turns[-1].outcome else None
        if not (under_way and under_way.is_done("make")):
            check_writable(self._wanted.registry, self._wanted.family)
        if not under_way:
            self._remove("tables", "build", "registry", COUNTED_NAME)
        elif under_way.is_done("make") or not under_way.refused:
            self._keep_terms(under_way)
            return True
        started = self._now()
        found = self._find()
        if under_way:
            # What was refused may be made of more texts, or by other recipes.
            turns.pop()
        if not self._record.is_new(found.newest, found.table_hashes):
            return False
        turn = Turn(terms=self._wanted.terms)
        says = self._collect(found, turn)
        turn.steps["collect"] = Step(started=started, ended=self._now(), says=says)
        turns.append(turn)
        self._save()
        for each in says:
            self._tell(f"collect: {each}")
        return True

    def _keep_terms(self, turn: Turn) -> None:
        if turn.terms != self._wanted.terms:
            its = turn.terms
            self._tell(
                f"This turn keeps to what it began with: --weight {its.weight:g} --margin "
                f"{its.margin:g} --confidence {its.confidence:g} --days {its.days:g}"
            )

    def _find(self) -> Found:
        log = self._wanted.read_log(self._wanted.texts)
        found = find(log, self._wanted.labelled, self._wanted.live())
        if not (found.feedback or found.tables):
            raise RecipeError(
                f"nothing to learn from: no logged text of {self._wanted.family} has feedback: "
                "let callers give some, or label worth-labelling.csv and give it with --labelled"
            )
        return found

    def _collect(self, found: Found, turn: Turn) -> list[str]:
        """Divide the new texts and write the tables; return what was found."""
        self._remove("tables")
        self._wanted.tables.mkdir(parents=True, mode=0o700)
        try:
            for ancestors in self._wanted.lineages():
                if len(ancestors) == 1:
                    turn.collected = self._divide(found, ancestors[0])
        except BaseException:
            self._remove("tables")
            raise
        return report.collected(turn, found.left_out)

    def _divide(self, found: Found, root: Recipe) -> Collected:
        """Write the tables of a root recipe; return what became of the new texts."""
        assert root.data is not None, "this is a bug: a root has [data]"
        data = data_of(root, self._wanted.build)
        check_labels(data, self._wanted.live()[0].manifest)
        divided = divide_new(found, data, root.data)
        write_tables(divided, root.data, self._wanted.tables / root.variant)
        return divided.counts

    def _make(self) -> list[str]:
        try:
            return make_versions(self._wanted, self._workshop, self._turn, self._tell)
        except (RecipeError, BundleError) as error:
            self._turn.refused = str(error)
            self._remove("tables", "build")
            self._tell(
                f"Removed the collected texts from {self._wanted.folder}: the next start collects "
                "and makes anew"
            )
            raise

    def _publish(self) -> list[str]:
        # From here on only what was made is needed, not what it was made from.
        self._remove("tables", "build")
        wanted = self._wanted
        self._turn.versions = publish_beside(
            wanted.made, wanted.registry, wanted.family, self._tell
        )
        its = (f"{name}@refreshed ({version})" for name, version in self._turn.versions.items())
        return [f"Published {', '.join(its)}"]

    def _start(self) -> list[str]:
        turn = self._turn
        turn.canaries = start_canaries(
            self._wanted.registry, self._wanted.family, turn.versions, turn.terms.weight, self._tell
        )
        return [f"Each answers {turn.terms.weight:.0%} of its variant's requests"]

    def _watch(self) -> bool:
        """Look at the feedback; return whether it is decided, or time is up."""
        is_over = watch(self._wanted, self._turn, self._now(), self._tell)
        self._save()
        return is_over

    def _decide(self) -> None:
        """Promote or withdraw what was watched."""
        turn = self._turn
        assert turn.verdict is not None, "this is a bug: nobody has looked"
        if not {"promote", "withdraw"} & turn.steps.keys():
            check_trial(self._wanted, turn)
        if turn.verdict.decision == "promote":
            self._step("promote", self._promote)
            turn.outcome = "promoted"
        else:
            self._step("withdraw", self._withdraw)
            turn.outcome = "withdrawn"
        turn.reason = " ".join(turn.steps["watch"].says)
        self._save()

    def _promote(self) -> list[str]:
        wanted = self._wanted
        promote(wanted.made, wanted.registry, wanted.family, self._turn.versions)
        return [f"Live: {', '.join(self._turn.versions)}"]

    def _withdraw(self) -> list[str]:
        withdraw(self._wanted.registry, self._wanted.family, self._turn.versions)
        return [f"As before: {', '.join(self._turn.versions)}"]

    def _end(self) -> str:
        """Remove all but the record; return what to do next."""
        self._remove("tables", "build", "registry", COUNTED_NAME)
        self._tell(f"{(self._turn.outcome or '').capitalize()}. {self._turn.reason}")
        self._tell(f"Removed the texts and what was made of them from {self._wanted.folder}")
        if self._turn.outcome == "promoted":
            return "serve on: servers of the registry answer by the new versions within seconds"
        return "serve on as before; run this again once there is more feedback"

    def _remove(self, *names: str) -> None:
        for name in names:
            remove(self._wanted.folder / name)

    def _step(self, name: StepName, do: Callable[[], list[str]]) -> None:
        """Take a step unless it is done; record when it was started, and that it has ended."""
        if self._turn.is_done(name):
            return
        step = self._turn.steps.setdefault(name, Step(started=self._now()))
        self._save()
        try:
            step.says = do()
        except Exception as error:
            self._save()
            if isinstance(error, OSError):
                raise StartError(
                    f"{name}: {own_words(error)}: correct that and run this again"
                ) from error
            raise
        step.ended = self._now()
        self._save()
        for each in step.says:
            self._tell(f"{name}: {each}")

    def _save(self) -> None:
        write_record(self._wanted.folder, self._record)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lock the folder; the kernel unlocks it if the process dies. Raises StartError."""
    with failures(StartError, f"{folder} cannot be written"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (folder / "lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartError(f"another refresh is at work in {folder}: wait for it") from error
        yield
