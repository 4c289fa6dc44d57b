"""The raw times of one phase: their columns and Parquet files."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

NO_ANSWER = 0  # the status of a request without an answer: refused, cut off or timed out
SERVER_STEPS = ("tokenize", "queue", "engine")
ANSWER_TIMEOUT_S = 30.0  # how long the client waits
MAX_IN_FLIGHT = 1000  # of one client process; beyond it an open phase sends late

_FLOATS = ("intended_s", "start_s", "end_s", *(f"{step}_ms" for step in SERVER_STEPS))
_COLUMNS = pa.schema(
    [(name, pa.float64()) for name in _FLOATS]
    + [("status", pa.int16()), ("response_bytes", pa.int64())]
    + [("degraded", pa.list_(pa.string())), ("variant", pa.string()), ("phase", pa.string())]
)
_STEP = re.compile(r"([\w-]+)\s*;[^,]*?dur\s*=\s*([0-9.]+)")


@dataclass(frozen=True)
class Phase:
    """One load on one variant in one round.

    A closed phase uses `users`, an open one `rate_rps`: a ramp rises to it, a trace ignores it.
    With `pairs` each text is two that are classified together.
    """

    model: str
    variant: str
    load: str
    round: int
    kind: Literal["closed", "open"]
    users: int
    arrivals: Literal["poisson", "constant", "ramp", "trace"]
    rate_rps: float
    trace: str | None
    texts_per_request: int
    deadline_ms: int | None
    warmup_s: float
    measured_s: float
    seed: int
    pairs: bool = False

    @property
    def total_s(self) -> float:
        """Warm-up plus measured time, in seconds."""
        return self.warmup_s + self.measured_s

    @property
    def name(self) -> str:
        """The name of the phase's files."""
        return f"{self.model}.{self.variant}.{self.load}.{self.round}"


@dataclass(frozen=True)
class ClientLoad:
    """How busy the client was, so that its limits are not taken for the server's."""

    loop_lag_p99_s: float
    cpu_share: float  # CPU seconds per second of one process; its one thread cannot exceed 1.0


@dataclass(frozen=True)
class MachineLoad:
    """What others took of the machine during a phase; 0 where it is not known."""

    other_cpu_share: float = 0.0
    """Share of the cores that neither the client nor the server used, but that were busy."""


@dataclass(frozen=True)
class RequestSample:
    """One request; times in seconds since the phase began."""

    intended_s: float
    start_s: float
    end_s: float
    status: int
    response_bytes: int
    server_ms: dict[str, float]
    degraded: list[str] = field(default_factory=list)
    """For each text that a cascade answered degraded, the variant that answered it."""


@dataclass(frozen=True)
class Samples:
    """All requests of one phase: each array has shape (requests,)."""

    phase: Phase
    client: ClientLoad
    intended_s: NDArray[np.float64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    status: NDArray[np.int16]
    server_ms: dict[str, NDArray[np.float64]]  # NaN if the server did not say
    degraded: NDArray[np.object_]  # lists of variants, or None
    machine: MachineLoad = MachineLoad()
    processes: int = 1
    """Of the client; each may hold MAX_IN_FLIGHT requests."""

    @property
    def latency_ms(self) -> NDArray[np.float64]:
        """Latency from the intended start, so that a late client or a full queue counts."""
        return (self.end_s - self.intended_s) * 1e3


def server_timing_ms(header: str) -> dict[str, float]:
    """Parse the durations in a `Server-Timing` header, in milliseconds (W3C Server Timing)."""
    return {name: float(duration) for name, duration in _STEP.findall(header)}


def write_samples(
    path: Path, samples: Sequence[RequestSample], phase: Phase, client: ClientLoad
) -> None:
    """Write one phase as Parquet, with the phase and the client in the file's metadata."""
    columns: dict[str, list[Any]] = {
        name: [getattr(sample, name) for sample in samples]
        for name in ("intended_s", "start_s", "end_s", "status", "response_bytes")
    }
    for step in SERVER_STEPS:
        columns[f"{step}_ms"] = [sample.server_ms.get(step) for sample in samples]
    columns["degraded"] = [sample.degraded or None for sample in samples]
    columns["variant"] = [phase.variant] * len(samples)
    columns["phase"] = [phase.name] * len(samples)
    about = json.dumps({"phase": asdict(phase), "client": asdict(client)})
    table = pa.table(columns, schema=_COLUMNS.with_metadata({"sizewise": about}))
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.part")
    pq.write_table(table, unfinished)
    unfinished.rename(path)  # so that a reader finds all of it or nothing


def write_machine(path: Path, machine: MachineLoad) -> None:
    """Write what others took of the machine during a phase."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(machine)) + "\n")


def read_samples(paths: Sequence[Path], machine: Path | None = None) -> Samples:
    """Read one phase from the files of its processes; the client is the busiest of them.

    `machine` is the file of write_machine; runs from before it have none.
    Raise ValueError if a file was not written by write_samples or write_machine.
    """
    tables = [pq.read_table(path) for path in paths]
    metadata = []
    for path, table in zip(paths, tables, strict=True):
        about = (table.schema.metadata or {}).get(b"sizewise")
        if about is None:
            raise ValueError(f"{path} has no raw times: measure again with python -m loadtest run")
        metadata.append(json.loads(about))
    tables.append(_COLUMNS.empty_table())  # files from before cascades lack `degraded`
    table = pa.concat_tables(
        [each.replace_schema_metadata() for each in tables], promote_options="default"
    )
    columns = {name: table[name].to_numpy() for name in table.column_names if name != "phase"}
    clients = [ClientLoad(**each["client"]) for each in metadata]
    return Samples(
        phase=Phase(**metadata[0]["phase"]),
        client=ClientLoad(
            loop_lag_p99_s=max(client.loop_lag_p99_s for client in clients),
            cpu_share=max(client.cpu_share for client in clients),
        ),
        machine=_read_machine(machine) if machine and machine.is_file() else MachineLoad(),
        processes=len(paths),
        server_ms={step: columns[f"{step}_ms"] for step in SERVER_STEPS},
        **{
            name: columns[name] for name in ("intended_s", "start_s", "end_s", "status", "degraded")
        },
    )


def _read_machine(path: Path) -> MachineLoad:
    try:
        return MachineLoad(float(json.loads(path.read_text())["other_cpu_share"]))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path} does not say what others took of the machine ({error}): restore it, or "
            "remove it to count its phase whatever they took"
        ) from error
