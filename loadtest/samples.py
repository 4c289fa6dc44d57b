"""The raw times of one phase: its columns, and its Parquet files.

It does not know who measured them or what is computed from them.
"""

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

NO_ANSWER = 0  # the status of a request that got none: refused, cut off or timed out
SERVER_STEPS = ("tokenize", "queue", "engine")

_FLOATS = ("intended_s", "start_s", "end_s", *(f"{step}_ms" for step in SERVER_STEPS))
_COLUMNS = pa.schema(
    [(name, pa.float64()) for name in _FLOATS]
    + [("status", pa.int16()), ("response_bytes", pa.int64())]
    + [("degraded", pa.list_(pa.string())), ("variant", pa.string()), ("phase", pa.string())]
)
_STEP = re.compile(r"([\w-]+)\s*;[^,]*?dur\s*=\s*([0-9.]+)")


@dataclass(frozen=True)
class Phase:
    """One load on one variant in one round. A closed phase uses `users`, an open one `rate_rps`.

    A ramp's rate grows up to `rate_rps`; a trace has its own times.
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

    @property
    def total_s(self) -> float:
        """Warm-up and measured time together, in seconds."""
        return self.warmup_s + self.measured_s

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.model}.{self.variant}.{self.load}.{self.round}"


@dataclass(frozen=True)
class Client:
    """How busy the client was: its own limits are not to be taken for the server's."""

    loop_lag_p99_s: float
    cpu_share: float  # CPU seconds of one process a wall second; its one thread can't pass 1.0


@dataclass(frozen=True)
class Row:
    """One request; times in seconds since the phase began."""

    intended_s: float
    start_s: float
    end_s: float
    status: int
    response_bytes: int
    server_ms: dict[str, float]
    degraded: list[str] = field(default_factory=list)
    """Who answered, for each text of a cascade that was answered degraded."""


@dataclass(frozen=True)
class Samples:
    """All requests of one phase: each array has shape (requests,)."""

    phase: Phase
    client: Client
    intended_s: NDArray[np.float64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    status: NDArray[np.int16]
    server_ms: dict[str, NDArray[np.float64]]  # NaN where the server said nothing
    degraded: NDArray[np.object_]  # names, or None where no text was

    @property
    def latency_ms(self) -> NDArray[np.float64]:
        """From the intended start, so that a late client or a full queue is not forgiven."""
        return (self.end_s - self.intended_s) * 1e3


def server_timing_ms(header: str) -> dict[str, float]:
    """The durations in a `Server-Timing` header, in milliseconds (W3C Server Timing)."""
    return {name: float(duration) for name, duration in _STEP.findall(header)}


def write_samples(path: Path, rows: Sequence[Row], phase: Phase, client: Client) -> None:
    """Writes one phase as Parquet; the phase and the client go into the file's metadata."""
    columns: dict[str, list[Any]] = {
        name: [getattr(row, name) for row in rows]
        for name in ("intended_s", "start_s", "end_s", "status", "response_bytes")
    }
    for step in SERVER_STEPS:
        columns[f"{step}_ms"] = [row.server_ms.get(step) for row in rows]
    columns["degraded"] = [row.degraded or None for row in rows]
    columns["variant"] = [phase.variant] * len(rows)
    columns["phase"] = [phase.name] * len(rows)
    about = json.dumps({"phase": asdict(phase), "client": asdict(client)})
    table = pa.table(columns, schema=_COLUMNS.with_metadata({"sizewise": about}))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def read_samples(paths: Sequence[Path]) -> Samples:
    """One phase from what its processes wrote by write_samples; of the clients, the busiest.

    Raises ValueError when a file is not one of ours.
    """
    tables = [pq.read_table(path) for path in paths]
    said = []
    for path, table in zip(paths, tables, strict=True):
        about = (table.schema.metadata or {}).get(b"sizewise")
        if about is None:
            raise ValueError(f"{path} is not a file of raw times: run python -m loadtest run again")
        said.append(json.loads(about))
    tables.append(_COLUMNS.empty_table())  # older files know of no degraded texts
    table = pa.concat_tables(
        [each.replace_schema_metadata() for each in tables], promote_options="default"
    )
    columns = {name: table[name].to_numpy() for name in table.column_names if name != "phase"}
    clients = [Client(**each["client"]) for each in said]
    return Samples(
        phase=Phase(**said[0]["phase"]),
        client=Client(
            loop_lag_p99_s=max(client.loop_lag_p99_s for client in clients),
            cpu_share=max(client.cpu_share for client in clients),
        ),
        server_ms={step: columns[f"{step}_ms"] for step in SERVER_STEPS},
        **{
            name: columns[name] for name in ("intended_s", "start_s", "end_s", "status", "degraded")
        },
    )
