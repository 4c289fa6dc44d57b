"""The record of a family's turns: what each step found, and where a stopped turn goes on."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.retraining.verdict import Canaries, Verdict
from serving.bundles.evaluation import Estimate, Paired
from serving.bundles.files import Count, Name, parse, read_text, replace_file
from serving.errors import StartError, failures

RECORD_NAME = "record.json"
StepName = Literal["collect", "make", "publish", "canary", "watch", "promote", "withdraw"]
Outcome = Literal["promoted", "withdrawn", "unchanged"]


class _Recorded(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Terms(_Recorded):
    """What a turn keeps to from its start to its end; a test that is looked at needs that."""

    weight: Annotated[float, Field(gt=0, lt=1)]
    """Share of the requests that each new version answers."""
    margin: Annotated[float, Field(ge=0, lt=1)]
    """How much less often than the live versions the new ones may be right, as a fraction."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    """Confidence of the test."""
    days: Annotated[float, Field(gt=0, le=3650)]
    """Time after which what is undecided is withdrawn."""


class Step(_Recorded):
    """A step, its time and what it found, in sentences."""

    started: datetime
    """When it was started first."""
    ended: datetime | None = None
    """When it was done; null if it is not."""
    says: list[str] = []
    """What it found."""


class Collected(_Recorded):
    """What was collected, and what became of it. Texts, unless it says otherwise."""

    feedback: Count
    """Texts with feedback of the log."""
    tables: Count
    """Rows with a label of the tables that were given."""
    unfilled: Count
    """Rows of these without a label."""
    repeated: Count
    """Rows that repeat a text."""
    contradictory: Count
    """Different texts that were given different labels: left out."""
    held_out: Count
    """Texts of the old test, validation or calibration split, which stay as they are there."""
    disputed: Count
    """Those of them that were given another label than there."""
    corrected: Count
    """Texts of the old train split that got another label."""
    confirmed: Count
    """Texts of the old train split that were given the label they have."""
    added: dict[str, Count]
    """New texts by split."""
    unlabelled: Count
    """New texts without a label, that no split holds out once they have one."""
    newest: datetime | None
    """When the last feedback was given."""
    table_hashes: dict[str, str] = {}
    """SHA-256 of the tables that were given, by path."""


class VersionFigures(_Recorded):
    """How a version does beside the live one, on the same texts."""

    live: str
    """The live version."""
    made: str
    """The new one."""
    texts: Count
    """Number of texts."""
    live_accuracy: Estimate
    """Accuracy of the live version."""
    accuracy: Estimate
    """Accuracy of the new one."""
    versus: Paired
    """The new one against the live one."""


class Look(_Recorded):
    """The test after so many answers got feedback."""

    answers: Count
    """Answers of both versions that have feedback."""
    difference: Estimate
    """The new versions' rate of right answers minus that of the live ones."""


class Turn(_Recorded):
    """One turn, from texts to a decision."""

    terms: Terms
    """What it keeps to."""
    steps: dict[StepName, Step] = {}
    """The steps so far."""
    collected: Collected | None = None
    """What it learns from."""
    old_test: dict[Name, VersionFigures] = {}
    """By variant, on the test split of before."""
    new_test: dict[Name, VersionFigures] = {}
    """By variant, on the collected texts of the new test split."""
    refused: str | None = None
    """Why a gate refused a variant, or all of them, in a sentence."""
    versions: dict[Name, str] = {}
    """The new versions that are tried."""
    canaries: Canaries | None = None
    """What is compared, and since when."""
    verdict: Verdict | None = None
    """What feedback showed at the last look."""
    course: list[Look] = []
    """How the test went."""
    outcome: Outcome | None = None
    """How it ended; null while it goes on."""
    reason: str = ""
    """Why it ended so."""

    def is_done(self, step: StepName) -> bool:
        """Whether a step has ended."""
        found = self.steps.get(step)
        return found is not None and found.ended is not None


class Record(_Recorded):
    """The turns of a family, the last one last."""

    family: Name
    """The family."""
    turns: list[Turn] = []
    """Its turns; without texts."""

    @property
    def last_ended(self) -> Turn | None:
        """The last turn that has ended."""
        ended = [turn for turn in self.turns if turn.outcome]
        return ended[-1] if ended else None

    def is_new(self, newest: datetime | None, tables: Mapping[str, str]) -> bool:
        """Whether there is feedback, or a table, that no ended turn has learnt from."""
        if (last := self.last_ended) is None or last.collected is None:
            return True
        before = last.collected
        known = set(before.table_hashes.values())
        is_newer = newest is not None and (before.newest is None or newest > before.newest)
        return is_newer or bool(set(tables.values()) - known)


def read_record(folder: Path, family: str) -> Record:
    """Read the record in a folder; empty if there is none. Raises StartError if it is broken."""
    path = folder / RECORD_NAME
    if not path.exists():
        return Record(family=family)
    with failures(StartError, f"{path} cannot be read: correct or remove it"):
        return parse(Record, read_text(path), path)


def write_record(folder: Path, record: Record) -> None:
    """Write the record, whole or not at all. Raises StartError."""
    path = folder / RECORD_NAME
    with failures(StartError, f"{path} cannot be written"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, record.model_dump_json(indent=1).encode())
