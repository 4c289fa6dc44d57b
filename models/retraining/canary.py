"""New versions of a family beside the live ones: published, tried, judged, promoted or withdrawn.

A running server may follow every step. Each may be killed at any moment and started again: it does
what is left to do.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from models.retraining.family_files import apply_family_files, check_family_files
from models.retraining.live_versions import family_in, traffic_of
from models.retraining.verdict import Canaries, Compared
from serving.bundles.bundle import Bundle, Manifest, read_bundle
from serving.bundles.decisions import DECISIONS_NAME
from serving.bundles.family_file import write_family_file
from serving.bundles.files import create_beside, remove, sync
from serving.bundles.registry import (
    BESIDE,
    PREVIOUS,
    TRAFFIC_NAME,
    Found,
    publish,
    read_registry,
)
from serving.bundles.signatures import is_signed
from serving.bundles.traffic import Canary, Deployment, Traffic, VariantTraffic, deployments_of
from serving.errors import BundleError, failures

REFRESHED = f"{BESIDE}refreshed"
Versions = Mapping[str, str]
"""The version of each variant."""


def check_writable(registry: Path, family: str) -> None:
    """Raise BundleError unless versions can be published beside a family's live ones."""
    folder = family_in(registry, family).folders[family]
    with failures(BundleError, f"{folder} cannot be written, as publishing there needs"):
        remove(create_beside(folder / REFRESHED))


def publish_beside(
    made: Path, registry: Path, family: str, tell: Callable[[str], None] = print
) -> dict[str, str]:
    """Publish a family of the registry `made` as `<variant>@refreshed`; return the versions.

    A version that is live already is left out. An earlier `@refreshed` is replaced. `tell` hears
    which bundle lacks a signature that the live one has.
    Raises BundleError if a variant has no live version, or one of other labels; if there is no new
    version; or if a file of the family would not fit once they are live. Then nothing is published.
    """
    found = family_in(registry, family)
    traffic = traffic_of(found, family)
    live = deployments_of(found.bundles[family], traffic)
    new = {}
    for bundle in read_registry(made).get(family, []):
        variant = bundle.manifest.variant
        if variant not in live:
            raise BundleError(
                f"{registry} has no {family}/{variant} to compare it with: publish {bundle.folder} "
                "by itself"
            )
        before = live[variant].live.manifest
        if (before.labels, before.problem_type) != (
            bundle.manifest.labels,
            bundle.manifest.problem_type,
        ):
            raise BundleError(
                f"{bundle.folder} answers with other labels than the live version, so neither can "
                "stand in for the other: publish it as another family"
            )
        version = bundle.manifest.version
        if before.version != version:
            new[variant] = bundle
            named = set(_named(traffic.root.get(variant, VariantTraffic()))) - {version}
            _check_unnamed(found, family, variant, REFRESHED, named)
    if not new:
        raise BundleError(f"{made} has no version of {family} that is not live already")
    check_family_files(made / family, registry / family, _after(live, new))
    for variant, bundle in new.items():
        published = publish(bundle.folder, registry, REFRESHED)
        if is_signed(live[variant].live.folder) and not is_signed(published.folder):
            tell(
                f"{published.folder} is not signed, as the live version is: sign it with `python "
                "-m models sign`, or servers with SIZEWISE_TRUSTED_KEYS refuse it"
            )
    return {variant: bundle.manifest.version for variant, bundle in new.items()}


def start_canaries(
    registry: Path,
    family: str,
    versions: Versions,
    weight: float,
    tell: Callable[[str], None] = print,
) -> Canaries:
    """Let each of the `versions` answer this share of its variant's requests, by traffic.json.

    What else the file says stays. `tell` hears if the family has decisions, which a canary's
    answers lack.
    Raises BundleError if the weight is not between 0 and 1, a version is missing, a variant has
    another canary, or an entry names a version that a promotion would overwrite.
    """
    if not 0 < weight < 1:
        raise BundleError(f"the weight is {weight}: it has to be between 0 and 1")
    found = family_in(registry, family)
    traffic = traffic_of(found, family)
    entries = dict(traffic.root)
    for variant, version in versions.items():
        entry = entries.get(variant, VariantTraffic())
        if entry.canary and entry.canary.version != version:
            raise BundleError(
                f"traffic.json: {family}/{variant} has a canary already, {entry.canary.version}: "
                "promote it or take it out first"
            )
        _check_unnamed(found, family, variant, PREVIOUS, set(_named(entry)))
        canary = Canary(version=version, weight=weight)
        entries[variant] = entry.model_copy(update={"canary": canary})
    deployed = deployments_of(found.bundles[family], Traffic(entries))
    for variant, version in versions.items():
        if deployed[variant].live.manifest.version == version:
            raise BundleError(f"{family}/{variant} {version} is live already: no need to try it")
    if DECISIONS_NAME in found.texts[family]:
        tell(
            f"{family} has a {DECISIONS_NAME}: of the canaries' share nothing is decided, and "
            "guards answer that it is undecided"
        )
    _write(registry / family, Traffic(entries))
    return Canaries(
        since=datetime.now(UTC),
        weight=weight,
        versions={
            variant: Compared(live=deployed[variant].live.manifest.version, canary=version)
            for variant, version in versions.items()
        },
    )


def check_on_trial(registry: Path, family: str, canaries: Canaries) -> None:
    """Raise BundleError unless the versions that are compared share the traffic as at the start."""
    found = family_in(registry, family)
    deployed = deployments_of(found.bundles[family], traffic_of(found, family))
    for variant, its in canaries.versions.items():
        now = deployed.get(variant)
        if now is None or now.live.manifest.version != its.live:
            raise BundleError(f"{family}/{variant}: {its.live} is not the live version any more")
        if now.canary is None or now.canary.manifest.version != its.canary:
            raise BundleError(f"{family}/{variant}: {its.canary} is not the canary any more")
        if now.weight != canaries.weight:
            raise BundleError(
                f"{family}/{variant}: the canary's weight is {now.weight:g} instead of "
                f"{canaries.weight:g}"
            )


def promote(made: Path, registry: Path, family: str, versions: Versions) -> None:
    """Make the `versions` live, with the files of the family that `made` holds.

    Traffic stays with the old versions, pinned, until all new ones are in their places. Then the
    family's files and traffic.json change at once, so no request meets some of each. The replaced
    versions stay as `<variant>@previous`.
    Raises BundleError if a version is missing, or a file of the family would not fit the new
    versions; then nothing is changed.
    """
    found = family_in(registry, family)
    traffic = traffic_of(found, family)
    new = {variant: _version_of(found, family, variant, v) for variant, v in versions.items()}
    released = _released(traffic, versions, promoted=True)
    before = deployments_of(found.bundles[family], released)
    check_family_files(made / family, registry / family, _after(before, new))
    folder = registry / family
    _write(folder, _pinned(traffic, before, versions))
    for bundle in new.values():
        if not bundle.active:
            publish(bundle.folder, registry)
    apply_family_files(made / family, folder)
    _write(folder, released)
    _remove_refreshed(folder, versions)


def withdraw(registry: Path, family: str, versions: Versions) -> None:
    """Take the canaries of the `versions` out of traffic.json, and remove their folders.

    Raises BundleError if traffic.json cannot be read or written.
    """
    folder = registry / family
    traffic = traffic_of(family_in(registry, family), family)
    _write(folder, _released(traffic, versions, promoted=False))
    _remove_refreshed(folder, versions)


def _after(live: Mapping[str, Deployment], new: Mapping[str, Bundle]) -> list[Manifest]:
    """Return what will be live once the new versions are."""
    return [new.get(variant, its.live).manifest for variant, its in live.items()]


def _version_of(found: Found, family: str, variant: str, version: str) -> Bundle:
    """Return where a version is: in the variant's usual place if it is there already."""
    its = [
        bundle
        for bundle in found.bundles[family]
        if (bundle.manifest.variant, bundle.manifest.version) == (variant, version)
    ]
    if not its:
        raise BundleError(
            f"{found.folders[family]} has no version {version} of {variant}: publish it as "
            f"{variant}{REFRESHED}"
        )
    return max(its, key=lambda bundle: bundle.active)


def _named(entry: VariantTraffic) -> Iterator[str]:
    """Yield every version that an entry of traffic.json names."""
    yield from (each.version for each in (entry.canary, entry.shadow) if each)
    yield from filter(None, [entry.version])


def _check_unnamed(
    found: Found, family: str, variant: str, beside: str, names: Collection[str]
) -> None:
    """Raise BundleError if traffic.json names the version in a folder that will be replaced."""
    for bundle in found.bundles[family]:
        if bundle.folder.name == variant + beside and bundle.manifest.version in names:
            raise BundleError(
                f"traffic.json names {bundle.manifest.version}, the version in {bundle.folder}, "
                "which would be replaced: rename that folder, or take the version out of the file"
            )


def _pinned(traffic: Traffic, before: Mapping[str, Deployment], versions: Versions) -> Traffic:
    """Return the traffic with what each canary's variant serves `before` named, unless it is."""
    entries = dict(traffic.root)
    for variant, entry in entries.items():
        if _is_canary(entry, versions.get(variant)) and not entry.version:
            version = before[variant].live.manifest.version
            entries[variant] = entry.model_copy(update={"version": version})
    return Traffic(entries)


def _released(traffic: Traffic, versions: Versions, *, promoted: bool) -> Traffic:
    """Return the traffic without these versions, and without what a promotion pinned.

    Of a variant with a canary of these, `promoted` also takes out the version that was live.
    """
    entries = {}
    for variant, entry in traffic.root.items():
        version, gone = versions.get(variant), {}
        if _is_canary(entry, version):
            gone = dict.fromkeys(["canary", *(["version"] if promoted else [])])
        if entry.shadow and entry.shadow.version == version:
            gone["shadow"] = None
        if (left := entry.model_copy(update=gone)) != VariantTraffic():
            entries[variant] = left
    return Traffic(entries)


def _is_canary(entry: VariantTraffic, version: str | None) -> bool:
    return entry.canary is not None and entry.canary.version == version


def _write(folder: Path, traffic: Traffic) -> None:
    """Write traffic.json, or remove it if it says nothing."""
    if traffic.root:
        write_family_file(folder, TRAFFIC_NAME, traffic, exclude_none=True)
        return
    path = folder / TRAFFIC_NAME
    with failures(BundleError, f"{path} cannot be removed"):
        path.unlink(missing_ok=True)
        sync(folder)


def _remove_refreshed(folder: Path, versions: Versions) -> None:
    """Remove the folders of these versions, each in one step."""
    for variant, version in versions.items():
        path = folder / (variant + REFRESHED)
        with suppress(BundleError):
            if read_bundle(path).manifest.version == version:
                staged = create_beside(path)
                path.rename(staged / path.name)
                remove(staged)
