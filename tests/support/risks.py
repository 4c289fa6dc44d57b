"""What a manifest says of altered texts and of groups, with bounds of one's choice."""

from serving.bundles.evaluation import Robustness
from serving.bundles.group_report import GroupReport


def _around(value: float, high: float) -> dict[str, float]:
    return {"value": value, "low": round(value - 0.01, 5), "high": high}


def robustness(drop: float, high: float) -> Robustness:
    """Figures whose largest drop is under typos, and this."""
    shares = {name: _around(0.9, 0.95) for name in ("accuracy", "calibration_error")}
    typos = {"kind": "typos", "strength": 0.3}
    return Robustness.model_validate(
        {
            "reference": "tiny",
            "reference_version": "0" * 16,
            "texts_sha256": "0" * 64,
            "n": 1000,
            "seed": 0,
            "variants": 1,
            **shares,
            "conditions": [typos | shares | {"altered": 1.0, "flips": _around(0.1, 0.2)}],
            "largest_drop": typos | {"drop": _around(drop, high)},
        }
    )


def group_report(*gaps: tuple[float, float]) -> GroupReport:
    """Figures by one column for each gap, which has this value and upper end."""
    columns = []
    for at, (gap, high) in enumerate(gaps):
        groups = [
            {"group": name, "n": 500, "value": _around(value, value + 0.01)}
            for name, value in (("north", 0.9), ("south", 0.9 - gap))
        ]
        measure = {"measure": "accuracy", "groups": groups, "gap": _around(gap, high)}
        columns.append({"column": f"region{at}", "measures": [measure]})
    return GroupReport.model_validate(
        {
            "reference": "tiny",
            "reference_version": "0" * 16,
            "texts_sha256": "0" * 64,
            "n": 1000,
            "fewest": 50,
            "variants": 1,
            "columns": columns,
        }
    )
