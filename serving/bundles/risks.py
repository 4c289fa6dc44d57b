"""What a manifest says that altered texts may cost a variant, and groups may differ by. Pure."""

from serving.bundles.bundle import Manifest
from serving.bundles.evaluation import StressDrop
from serving.bundles.group_report import GroupGap


def stress_drop(manifest: Manifest) -> StressDrop | None:
    """Return the largest drop of accuracy where texts are altered; None if it was not measured."""
    return manifest.robustness.largest_drop if manifest.robustness else None


def group_gap(manifest: Manifest) -> GroupGap | None:
    """Return the largest gap between groups; None if it was not measured."""
    return manifest.group_report.largest_gap if manifest.group_report else None
