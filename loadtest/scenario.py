"""A scenario: one TOML file that says what is sent, how, how often and for how long.

It does not know servers, variants or clocks.
"""

import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

SCENARIOS = Path(__file__).with_name("scenarios")
_STRICT = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Load(BaseModel):
    """One load on a variant.

    A closed load has `users` who each wait for their answer. An open load has arrivals that wait
    for nobody, at one of `rate_rps`, `share` and `trace`.
    """

    model_config = _STRICT

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    """Name of the load in the report."""
    kind: Literal["closed", "open"]
    """Whether users wait for their answer."""
    users: int | None = Field(None, ge=1, le=10_000)
    """Closed: how many."""
    arrivals: Literal["poisson", "constant", "ramp", "trace"] = "poisson"
    """Open: how requests arrive."""
    rate_rps: float | None = Field(None, gt=0, le=1e6)
    """Open: requests a second; a ramp rises to it."""
    share: float | None = Field(None, gt=0, le=100)
    """Open: the rate as a part of the variant's own throughput under the first closed load."""
    trace: Path | None = None
    """Open: a file of arrival times in seconds, one a line; relative to the scenario."""
    texts_per_request: int = Field(1, ge=1, le=1024)
    """Texts in a request."""
    measured_s: float | None = Field(None, gt=0, le=86_400)
    """How long it is measured in each round, in seconds; without it the scenario's."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "closed":
            if self.users is None or (self.rate_rps, self.share, self.trace) != (None,) * 3:
                raise ValueError("a closed load has users, and neither rate, share nor trace")
        elif self.users is not None:
            raise ValueError("an open load has no users: they do not wait for one another")
        elif sum(each is not None for each in (self.rate_rps, self.share, self.trace)) != 1:
            raise ValueError("an open load has one of rate_rps, share and trace")
        if (self.arrivals == "trace") != (self.trace is not None):
            raise ValueError('arrivals = "trace" and trace = "FILE" go together')
        return self


class Scenario(BaseModel):
    """What is measured: in each round, every variant gets every load."""

    model_config = _STRICT

    texts: Path | None = None
    """A file of texts, one a line, relative to the scenario; without it seeded texts."""
    rounds: int = Field(5, ge=1, le=1000)
    """Rounds; the report's intervals come from their differences."""
    warmup_s: float = Field(1.5, ge=0, le=3600)
    """Seconds of load before each measurement that do not count."""
    measured_s: float = Field(6.0, gt=0, le=86_400)
    """Seconds that are measured, for each load and round."""
    deadline_ms: int | None = Field(None, ge=1)
    """Deadline that requests carry, in ms; without it the server's default."""
    slo_p99_ms: float = Field(50.0, gt=0)
    """The SLO: the highest p99 latency, in ms."""
    seed: int = Field(0, ge=0)
    """Seed of the texts and of the arrivals."""
    processes: int = Field(1, ge=1, le=256)
    """Locust processes that send; more than one where one cannot send enough."""
    floor: bool = True
    """Whether to measure a model without inference too: what HTTP alone takes."""
    loads: list[Load] = Field(min_length=1)
    """The loads, in their order."""

    @property
    def brownout_ms(self) -> int:
        """The wait from which on a server under brownout degrades: half of the SLO."""
        return max(1, round(self.slo_p99_ms / 2))

    @field_validator("loads")
    @classmethod
    def _usable(cls, loads: list[Load]) -> list[Load]:
        names = [load.name for load in loads]
        if len(set(names)) < len(names):
            raise ValueError(f"two loads have one name: {names}")
        for number, load in enumerate(loads):
            before = any(each.kind == "closed" for each in loads[:number])
            if load.share is not None and not before:
                raise ValueError(f"{load.name} has a share: put a closed load before it")
        return loads


def read_scenario(path: Path) -> Scenario:
    """Raises ValueError naming the file, the field, what is wrong and what was given."""
    try:
        with path.open("rb") as file:
            asked = tomllib.load(file)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}; {SCENARIOS} has examples") from error
    try:
        scenario = Scenario.model_validate(asked)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the scenario"
        raise ValueError(f"{path}: {where}: {first['msg']} (got {first['input']!r})") from error
    return _placed(scenario, path.parent)


def _placed(scenario: Scenario, folder: Path) -> Scenario:
    """The same with its files' paths taken from the scenario's own folder."""
    loads = [
        load.model_copy(update={"trace": folder / load.trace}) if load.trace else load
        for load in scenario.loads
    ]
    texts = folder / scenario.texts if scenario.texts else None
    return scenario.model_copy(update={"loads": loads, "texts": texts})
