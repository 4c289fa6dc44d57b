"""The outcome of `recommend --check`, kept beside the report that it checked."""

import math
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from loadtest.analysis.recommendation import SizedChoice
from loadtest.measure.server import LoadTestError

_NAME = "check.json"


class Check(BaseModel):
    """What one replica of a choice did at its share of the traffic."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    variant: str
    rate_rps: float
    predicted_p99_ms: float
    p99_ms: float | None
    """None if more than a hundredth of the requests got no answer."""
    holds: bool


def write_check(folder: Path, chosen: SizedChoice, p99_ms: float, holds: bool) -> None:
    """Keep the outcome of a check in a report's folder, in place of an earlier one."""
    check = Check(
        model=chosen.model,
        variant=chosen.variant,
        rate_rps=chosen.rate_rps,
        predicted_p99_ms=chosen.p99_ms,
        p99_ms=p99_ms if math.isfinite(p99_ms) else None,
        holds=holds,
    )
    (folder / _NAME).write_text(check.model_dump_json(indent=2) + "\n")


def read_check(folder: Path, chosen: SizedChoice | None) -> dict[str, Any] | None:
    """Return the fields of a Check of this very choice at its rate; None without one.

    Raise LoadTestError if the file is damaged.
    """
    path = folder / _NAME
    if chosen is None or not path.is_file():
        return None
    try:
        check = Check.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise LoadTestError(f"{path} is damaged: delete it, and check again ({error})") from error
    is_same = (check.model, check.variant) == (chosen.model, chosen.variant)
    return check.model_dump() if is_same and math.isclose(check.rate_rps, chosen.rate_rps) else None
