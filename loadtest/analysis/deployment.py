"""The recommendation for the traffic that a report's scenario asks to size for."""

from typing import Any

from loadtest.analysis.recommendation import Recommendation, SizingRequirements, recommend


def deployment(report: dict[str, Any]) -> Recommendation | None:
    """Recommend what to deploy for the scenario's `deploy`; None if it has none."""
    wished = report["scenario"].get("deploy")
    if wished is None:
        return None
    return recommend(
        report,
        SizingRequirements(
            report["scenario"]["slo_p99_ms"],
            wished["min_accuracy"],
            wished["rps"],
            wished["headroom"],
            price_per_replica_hour(report),
        ),
    )


def price_per_replica_hour(report: dict[str, Any]) -> float | None:
    """Return what a replica costs an hour, by the scenario's price of a core or a node.

    None without a price, and by the core for a server at an address: its cores are not known.
    """
    wished = report["scenario"].get("deploy") or {}
    node: float | None = wished.get("price_per_node_hour")
    core: float | None = wished.get("price_per_core_hour")
    if node is not None or core is None or report["url"]:
        return node
    return float(core * report["machine"]["cores"])
