"""What was valid before stays: a family's own files, and what became unreadable."""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from serving.bundles.bundle import Manifest
from serving.bundles.cascade import CASCADE_NAME, Cascade, check_cascade
from serving.bundles.decisions import DECISIONS_NAME, Decisions, check_decisions
from serving.bundles.files import Parsed, parse
from serving.bundles.registry import BESIDE, POLICY_NAME, TRAFFIC_NAME, Found, Lost
from serving.bundles.traffic import Deployment, Deployments, Policy, Traffic, check_policy
from serving.bundles.windows import WINDOWS_NAME, Windows, check_windows
from serving.errors import BundleError, printable


def _text_of(found: Found, family: str, name: str) -> str | None:
    """Return the text of a family's own file, None if there is none.

    Raises BundleError if there is one that cannot be read.
    """
    path = printable(str(found.folders[family] / name))
    if name not in found.texts[family] and path in found.refused:
        raise BundleError(found.refused[path])
    return found.texts[family].get(name)


def traffic_of(family: str, found: Found) -> Traffic:
    """Return a family's traffic.json, without the variants that SIZEWISE_VARIANTS leaves out.

    Raises BundleError if there is one that is not valid.
    """
    text = _text_of(found, family, TRAFFIC_NAME)
    traffic = Traffic({}) if text is None else parse(Traffic, text, TRAFFIC_NAME)
    return Traffic({n: its for n, its in traffic.root.items() if not found.leaves_out(n)})


def keep_policies(
    wanted: dict[str, Mapping[str, Deployment]],
    found: Found,
    served: Deployments,
    refused: dict[str, str],
    lost: dict[tuple[str, str], str],
) -> None:
    """Keep what a family served before, if anything, where no policy fits what is `wanted` of it.

    Without its policy a family would answer what that forbids, such as by variants below the floor.
    """
    for family, variants in list(wanted.items()):
        if not variants or _policy(family, variants, found, served, refused):
            continue
        if before := served.families.get(family):
            wanted[family] = before
        else:
            del wanted[family]
            reason = refused[str(found.folders[family] / POLICY_NAME)]
            lost |= {(family, variant): reason for variant in variants}


def check_policy_of(family: str, wanted: Mapping[str, Deployment], served: Deployments) -> None:
    """Raise BundleError if what is wanted of a family does not fit the policy that holds."""
    if policy := served.policies.get(family):
        check_policy(policy, _manifests(wanted))


def policies_of(
    families: Mapping[str, Mapping[str, Deployment]],
    found: Found,
    served: Deployments,
    refused: dict[str, str],
) -> dict[str, Policy]:
    """Read each policy.json; if it is refused, keep the previous policy unless it does not fit."""
    its = {
        family: _policy(family, variants, found, served, refused)
        for family, variants in families.items()
    }
    return {family: policy for family, policy in its.items() if policy}


def _policy(
    family: str,
    variants: Mapping[str, Deployment],
    found: Found,
    served: Deployments,
    refused: dict[str, str],
) -> Policy | None:
    """Return the policy that holds; None if the file is refused, and none before it fits."""
    check = partial(check_policy, manifests=_manifests(variants))
    before = served.policies.get(family)
    its = _current(Policy, POLICY_NAME, check, family, found, before, refused)
    if its or family not in found.texts:
        return its
    return None if str(found.folders[family] / POLICY_NAME) in refused else Policy()


def windows_of(
    families: Mapping[str, Mapping[str, Deployment]],
    found: Found,
    served: Deployments,
    refused: dict[str, str],
) -> dict[str, Windows]:
    """Read each windows.json; if it is refused, keep the previous one unless it does not fit."""
    windows = {}
    for family, variants in families.items():
        check = partial(check_windows, manifests=_manifests(variants).values())
        before = served.windows.get(family)
        its = _current(Windows, WINDOWS_NAME, check, family, found, before, refused)
        windows[family] = its or Windows()
    return windows


def cascades_of(
    families: Mapping[str, Mapping[str, Deployment]],
    found: Found,
    served: Deployments,
    refused: dict[str, str],
    lost: Lost,
) -> dict[str, Cascade]:
    """Read each cascade.json; if it is refused, keep the previous cascade unless it is stale."""
    cascades = {}
    for family, variants in families.items():
        broken = {name for its, name in lost if its == family} - variants.keys()
        check = partial(_check_cascade, manifests=_manifests(variants), found=found, broken=broken)
        before = served.cascades.get(family)
        if cascade := _current(Cascade, CASCADE_NAME, check, family, found, before, refused):
            cascades[family] = cascade
    return cascades


def _check_cascade(
    cascade: Cascade, manifests: Mapping[str, Manifest], found: Found, broken: Collection[str]
) -> None:
    """Raise BundleError if a variant is left out or broken, or the cascade is stale."""
    names = [stage.variant for stage in cascade.stages]
    reasons = [
        *(
            f"SIZEWISE_VARIANTS leaves out {cascade.family}/{n}"
            for n in names
            if found.leaves_out(n)
        ),
        *(f"{cascade.family}/{n} is refused" for n in names if n in broken),
    ]
    if reasons:
        raise BundleError(f"{CASCADE_NAME} is not used: {reasons[0]}")
    check_cascade(cascade, manifests)


def left_out_cascades(found: Found, refused: Mapping[str, str]) -> set[str]:
    """Return the paths of refused cascades of which SIZEWISE_VARIANTS leaves out a variant."""
    paths = set()
    for family, texts in found.texts.items():
        path = str(found.folders[family] / CASCADE_NAME)
        if path in refused and CASCADE_NAME in texts:
            with suppress(BundleError):
                cascade = parse(Cascade, texts[CASCADE_NAME], CASCADE_NAME)
                if any(found.leaves_out(stage.variant) for stage in cascade.stages):
                    paths.add(path)
    return paths


def decisions_of(
    families: Mapping[str, Mapping[str, Deployment]],
    found: Found,
    served: Deployments,
    refused: dict[str, str],
) -> dict[str, Decisions | None]:
    """Read each decisions.json; if it is refused, keep the previous one unless it does not fit.

    Without one to keep it is None: the family has decisions, but nothing is decided. One that is
    stale is none that is refused: what of it still applies is applied.
    """
    decisions: dict[str, Decisions | None] = {}
    for family, variants in families.items():
        check = partial(check_decisions, family=family, manifests=_manifests(variants))
        before = served.decisions.get(family)
        its = _current(Decisions, DECISIONS_NAME, check, family, found, before, refused)
        if family not in found.texts:  # its folder cannot be read
            undecided = family in served.decisions
        else:
            undecided = str(found.folders[family] / DECISIONS_NAME) in refused
        if its or undecided:
            decisions[family] = its
    return decisions


def _manifests(variants: Mapping[str, Deployment]) -> dict[str, Manifest]:
    return {name: each.live.manifest for name, each in variants.items()}


def _current(  # noqa: PLR0917
    model: type[Parsed],
    name: str,
    check: Callable[[Parsed], None],
    family: str,
    found: Found,
    before: Parsed | None,
    refused: dict[str, str],
) -> Parsed | None:
    if family not in found.texts:  # its folder cannot be read
        return before
    try:
        if (text := _text_of(found, family, name)) is None:
            return None
        now = parse(model, text, name)
        check(now)
    except BundleError as error:
        refused[str(found.folders[family] / name)] = error.detail
        with suppress(BundleError):
            if before:
                check(before)
                return before
        return None
    return now


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
                (before.left_out & its) | found.left_out,
                found.chosen,
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
