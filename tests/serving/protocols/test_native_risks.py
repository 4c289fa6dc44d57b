"""`GET /v1/models` shows the bounds that manifests carry, and neither report whole."""

import httpx

from serving.bundles.registry import publish
from tests.support.bundles import alter, write_bundle
from tests.support.processes import serving
from tests.support.risks import group_report, robustness


def test_the_largest_drop_and_gap_of_each_variant_are_listed(tmp_path):
    write_bundle(tmp_path / "made", variant="wide")
    publish(tmp_path / "made", tmp_path / "registry")
    figures = {"robustness": robustness(0.1, 0.2), "group_report": group_report((0.05, 0.3))}
    publish(
        alter(tmp_path / "made", tmp_path / "tiny", variant="tiny", **figures),
        tmp_path / "registry",
    )
    with serving(tmp_path / "registry") as server:
        (family,) = httpx.get(f"{server.url}/v1/models", timeout=30).json()["models"]

    tiny, wide = sorted(family["variants"], key=lambda each: each["variant"])
    assert tiny["stress_drop"] == {
        "kind": "typos",
        "strength": 0.3,
        "drop": {"value": 0.1, "low": 0.09, "high": 0.2},
    }
    assert tiny["group_gap"]["gap"]["high"] == 0.3
    assert {"robustness", "group_report"}.isdisjoint(tiny)
    assert (wide["stress_drop"], wide["group_gap"]) == (None, None)
