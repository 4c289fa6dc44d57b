"""A scenario: a TOML file that says what is sent, how, how often and for how long."""

import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

SCENARIOS = Path(__file__).with_name("scenarios")
_STRICT = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Load(BaseModel):
    """One load on a variant.

    In a closed load, `users` each wait for their answer before they send again. In an open load,
    requests arrive independently of the answers, by one of `rate_rps`, `share` and `trace`.
    """

    model_config = _STRICT

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    """Name of the load in the report."""
    kind: Literal["closed", "open"]
    """`closed` if users wait for their answers, `open` if requests arrive independently."""
    users: int | None = Field(None, ge=1, le=10_000)
    """Closed: number of users."""
    arrivals: Literal["poisson", "constant", "ramp", "trace"] = "poisson"
    """Open: the arrival process."""
    rate_rps: float | None = Field(None, gt=0, le=1e6)
    """Open: requests per second; a ramp rises to it."""
    share: float | None = Field(None, gt=0, le=100)
    """Open: the rate as a share of the variant's own throughput under the first closed load."""
    trace: Path | None = None
    """Open: a file of arrival times in seconds, one per line; relative to the scenario."""
    texts_per_request: int = Field(1, ge=1, le=1024)
    """Texts in each request."""
    measured_s: float | None = Field(None, gt=0, le=86_400)
    """Measured seconds in each round; default: the scenario's."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "closed":
            if self.users is None or (self.rate_rps, self.share, self.trace) != (None,) * 3:
                raise ValueError("a closed load needs users, and no rate_rps, share or trace")
        elif self.users is not None:
            raise ValueError('an open load has no users: remove users, or set kind = "closed"')
        elif sum(each is not None for each in (self.rate_rps, self.share, self.trace)) != 1:
            raise ValueError("an open load needs exactly one of rate_rps, share and trace")
        if (self.arrivals == "trace") != (self.trace is not None):
            raise ValueError('arrivals = "trace" needs trace = "FILE", and the other way round')
        return self


class Deployment(BaseModel):
    """The traffic to size for: the report then says what to deploy, and what that costs.

    The latency that it must keep is the scenario's `slo_p99_ms`.
    """

    model_config = _STRICT

    rps: float = Field(gt=0, le=1e7)
    """Requests per second, over all replicas."""
    texts_per_request: int = Field(1, ge=1, le=1024)
    """Texts in each of these requests; only open loads of such requests are sized by."""
    min_accuracy: float = Field(0.0, ge=0, lt=1)
    """Lowest accuracy, from 0 to 1, that the lower end of the interval must reach."""
    headroom: float = Field(0.2, ge=0, lt=1)
    """Share of each replica's capacity to leave free."""
    price_per_core_hour: float | None = Field(None, gt=0, le=1e6)
    """Price of a core for an hour, in any currency; a replica has the cores it was measured on."""
    price_per_node_hour: float | None = Field(None, gt=0, le=1e6)
    """Price of the machine it was measured on for an hour, which one replica fills."""

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        if self.price_per_core_hour is not None and self.price_per_node_hour is not None:
            raise ValueError("give price_per_core_hour or price_per_node_hour, not both")
        return self


class Scenario(BaseModel):
    """What is measured: in each round, every variant under every load."""

    model_config = _STRICT

    texts: Path | None = None
    """A file of texts, one per line, relative to the scenario; default: generated texts.

    For a model of pairs a line is two texts with a tab between; without a tab, the next line is
    the second."""
    rounds: int = Field(5, ge=1, le=1000)
    """Number of rounds; the report's intervals come from their differences."""
    warmup_s: float = Field(1.5, ge=0, le=3600)
    """Seconds of load before each measurement, which do not count."""
    measured_s: float = Field(6.0, gt=0, le=86_400)
    """Measured seconds of each load in each round."""
    deadline_ms: int | None = Field(None, ge=1)
    """Deadline of each request, in ms; default: the server's."""
    slo_p99_ms: float = Field(50.0, gt=0, le=1e9)
    """The SLO: the highest allowed p99 latency, in ms."""
    seed: int = Field(0, ge=0)
    """Seed of the texts and the arrivals."""
    processes: int = Field(1, ge=1, le=256)
    """Locust processes that send; use more if one cannot send enough."""
    floor: bool = True
    """Also measure a null model: the time of everything but inference."""
    deploy: Deployment | None = None
    """What the report is to size for; without it, it states what one replica does."""
    loads: list[Load] = Field(min_length=1)
    """The loads, in order."""

    @property
    def curve_loads(self) -> list[Load]:
        """The loads of a variant's latency-throughput curve, which must be alike to compare.

        They are the open loads, without ramps, whose requests are as large as those of `deploy`,
        otherwise the smallest, with Poisson arrivals if any of these has them.
        """
        opened = [each for each in self.loads if each.kind == "open" and each.arrivals != "ramp"]
        sizes = [each.texts_per_request for each in opened]
        size = self.deploy.texts_per_request if self.deploy else min(sizes, default=1)
        alike = [each for each in opened if each.texts_per_request == size]
        poisson = [each for each in alike if each.arrivals == "poisson"]
        return poisson or [each for each in alike if each.arrivals == alike[0].arrivals]

    @property
    def brownout_ms(self) -> int:
        """The wait above which the server degrades in the brownout measurement: half the SLO."""
        return max(1, round(self.slo_p99_ms / 2))

    @field_validator("loads")
    @classmethod
    def _usable(cls, loads: list[Load]) -> list[Load]:
        names = [load.name for load in loads]
        if len(set(names)) < len(names):
            raise ValueError(f"each load needs a name of its own, got {', '.join(names)}")
        for number, load in enumerate(loads):
            before = any(each.kind == "closed" for each in loads[:number])
            if load.share is not None and not before:
                raise ValueError(
                    f"{load.name} has a share of a closed load's throughput: put a closed load "
                    "before it"
                )
        return loads

    @model_validator(mode="after")
    def _measures_what_is_deployed(self) -> Self:
        if self.deploy and not self.curve_loads:
            raise ValueError(
                f"deploy.texts_per_request is {self.deploy.texts_per_request}, but no open load "
                "other than a ramp sends such requests: add one, or change deploy.texts_per_request"
            )
        return self


def regular(path: Path) -> Path:
    """Return `path`. Raise OSError if it is no file: opening a named pipe could never end."""
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a file")
    return path


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file; paths in it are relative to its folder.

    Raise ValueError that names the file, the field, the problem and the value.
    """
    try:
        with regular(path).open("rb") as file:
            content = tomllib.load(file)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}; {SCENARIOS} has examples") from error
    try:
        scenario = Scenario.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the scenario"
        raise ValueError(f"{path}: {where}: {first['msg']} (got {first['input']!r})") from error
    return _resolve_paths(scenario, path.parent)


def _resolve_paths(scenario: Scenario, folder: Path) -> Scenario:
    """Resolve the scenario's file paths against its folder."""
    loads = [
        load.model_copy(update={"trace": folder / load.trace}) if load.trace else load
        for load in scenario.loads
    ]
    texts = folder / scenario.texts if scenario.texts else None
    return scenario.model_copy(update={"loads": loads, "texts": texts})
