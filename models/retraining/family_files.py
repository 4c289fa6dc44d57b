"""What a family's own files become when new versions go live."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel

from serving.bundles.bundle import Manifest
from serving.bundles.cascade import CASCADE_NAME, Cascade, check_cascade
from serving.bundles.decisions import DECISIONS_NAME, Decisions, check_decisions
from serving.bundles.family_file import read_family_file, write_family_file
from serving.bundles.files import Parsed
from serving.bundles.registry import POLICY_NAME
from serving.bundles.traffic import Policy, check_policy
from serving.bundles.windows import WINDOWS_NAME, Windows, check_windows
from serving.errors import BundleError, failures


def check_family_files(made: Path, live: Path, manifests: Iterable[Manifest]) -> None:
    """Raise BundleError unless a family's files will fit the versions that will be live.

    `made` and `live` are folders of the family; a file that `made` lacks stays as it is, and so
    does policy.json, whose floor some version has to be shown to reach.
    """
    served = {manifest.variant: manifest for manifest in manifests}
    windows = _either(made, live, WINDOWS_NAME, Windows)
    cascade = _either(made, live, CASCADE_NAME, Cascade)
    decisions = _either(made, live, DECISIONS_NAME, Decisions)
    policy = read_family_file(live, POLICY_NAME, Policy)
    with failures(BundleError, f"{made} cannot be promoted"):
        if windows:
            check_windows(windows, served.values())
        if cascade:
            check_cascade(cascade, served)
        if policy:
            check_policy(policy, served)
        if decisions:
            check_decisions(decisions, made.name, served)
            _check_decided(decisions, served, cascade, windows or Windows())


def apply_family_files(made: Path, live: Path) -> None:
    """Give the family in `live` the files that the one in `made` has. Raises BundleError."""
    for name, kind in (
        (WINDOWS_NAME, Windows), (CASCADE_NAME, Cascade), (DECISIONS_NAME, Decisions),
    ):  # fmt: skip
        content: BaseModel | None = read_family_file(made, name, kind)
        if content:
            write_family_file(live, name, content)


def _check_decided(
    decisions: Decisions,
    served: Mapping[str, Manifest],
    cascade: Cascade | None,
    windows: Windows,
) -> None:
    for decider in decisions.deciders:
        if not decider.fits(served, cascade, windows):
            raise BundleError(
                f"{DECISIONS_NAME} decides nothing for {decider.name}, as it was made for other "
                "versions, another cascade or other windows: run `python -m models decide` on the "
                "new versions"
            )


def _either(made: Path, live: Path, name: str, kind: type[Parsed]) -> Parsed | None:
    return read_family_file(made, name, kind) or read_family_file(live, name, kind)
