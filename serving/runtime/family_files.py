"""What was valid before stays: policy.json, cascade.json, and what became unreadable."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from serving.bundles.cascade import CASCADE_NAME, Cascade, check_cascade
from serving.bundles.files import listed, parse
from serving.bundles.registry import BESIDE, POLICY_NAME, Found
from serving.bundles.traffic import Deployment, Deployments, Policy
from serving.errors import BundleError, printable


def policies_of(
    families: Mapping[str, Mapping[str, Deployment]],
    found: Found,
    served: Deployments,
    refused: dict[str, str],
) -> dict[str, Policy]:
    """Read each family's policy.json; keep the previous policy if it is refused."""
    policies = {}
    for family, variants in families.items():
        policies[family] = served.policies.get(family, Policy())
        if family not in found.texts:  # its folder cannot be read
            continue
        try:
            text = found.texts[family].get(POLICY_NAME, "{}")
            policy = parse(Policy, text, POLICY_NAME)
            _check_harmless(policy, variants)
            policies[family] = policy
        except BundleError as error:
            refused[str(found.folders[family] / POLICY_NAME)] = error.detail
    return policies


def _check_harmless(policy: Policy, variants: Mapping[str, Deployment]) -> None:
    """Raise BundleError if a harmless label is none of any variant's."""
    labels = {label for each in variants.values() for label in each.live.manifest.labels}
    for label in policy.harmless or ():
        if label not in labels:
            raise BundleError(
                f"{POLICY_NAME}: no variant has the harmless label {label!r}: name some of "
                f"{listed(sorted(labels))}"
            )


def cascades_of(
    families: Mapping[str, Mapping[str, Deployment]],
    found: Found,
    served: Deployments,
    refused: dict[str, str],
) -> dict[str, Cascade]:
    """Read each cascade.json; if it is refused, keep the previous cascade unless it is stale."""
    cascades = {}
    for family, variants in families.items():
        cascade = served.cascades.get(family)
        if family in found.texts:
            cascade = _cascade(family, variants, found, cascade, refused)
        if cascade:
            cascades[family] = cascade
    return cascades


def _cascade(
    family: str,
    variants: Mapping[str, Deployment],
    found: Found,
    before: Cascade | None,
    refused: dict[str, str],
) -> Cascade | None:
    if CASCADE_NAME not in found.texts[family]:
        return None
    manifests = {name: each.live.manifest for name, each in variants.items()}
    try:
        cascade = parse(Cascade, found.texts[family][CASCADE_NAME], CASCADE_NAME)
        check_cascade(cascade, manifests)
    except BundleError as error:
        refused[str(found.folders[family] / CASCADE_NAME)] = error.detail
        with suppress(BundleError):
            if before:
                check_cascade(before, manifests)
                return before
        return None
    return cascade


def keep_emptied(
    found: Found, before: Found, served: Deployments, registries: Iterable[Path]
) -> Found:
    """Go on with what was found before in a registry that has lost every bundle, and refuse it.

    The folder of a volume that is unmounted is empty, too. A registry of which nothing is served,
    rests or is unloaded may become empty.
    """
    known = served.families.keys() | served.resting | served.unloaded
    for registry in registries:
        its = {
            name
            for name in before.bundles
            if before.folders[name].is_relative_to(registry)
            and not _refused_in(name, found, before)
        }
        held = found.bundles.keys() - found.kept
        if its & known and not any(found.folders[each].is_relative_to(registry) for each in held):
            where = printable(str(registry))
            reason = f"{where} holds no bundle any more; what was loaded goes on"
            inside = {p: why for p, why in before.refused.items() if Path(p).is_relative_to(where)}
            found = Found(
                found.folders | {name: before.folders[name] for name in its},
                found.bundles | {name: before.bundles[name] for name in its},
                found.texts | {name: before.texts[name] for name in its},
                {where: reason} | inside | found.refused,
                {each: why for each, why in before.lost.items() if each[0] in its} | found.lost,
                found.kept | its,
            )
    return found


def _refused_in(family: str, found: Found, before: Found) -> bool:
    """Return whether something of a family is refused now: its folder is there."""
    return any(Path(path).is_relative_to(before.folders[family]) for path in found.refused)


def keep_unreadable(
    wanted: dict[str, Mapping[str, Deployment]],
    found: Found,
    served: Deployments,
    registries: Collection[Path],
) -> None:
    """Keep serving what became unreadable: a variant, a family, or the folder of one model."""
    for path in map(Path, found.refused):
        if path in registries:
            for name, variants in served.families.items():
                if any(each.live.folder == path for each in variants.values()):
                    wanted.setdefault(name, variants)
        whole = served.families.get(path.name)
        if whole and path.parent in registries and path.name not in found.texts:
            wanted[path.name] = whole
        family, variant = path.parent.name, path.name.partition(BESIDE)[0]
        before = served.families.get(family, {}).get(variant)
        if before and variant not in wanted.get(family, {}):
            wanted[family] = {**wanted.get(family, {}), variant: before}
