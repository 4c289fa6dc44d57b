"""What a server must serve before it is ready, and why it does not. Pure."""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from serving.bundles.registry import Lost
from serving.bundles.traffic import Deployments
from serving.settings import Settings


def missing_of(
    settings: Settings, lost: Lost, deployments: Deployments, left_out: Container[str] = ()
) -> dict[str, str]:
    """Return what must be served and is not, with the reasons; `lost` are the broken bundles.

    That is a variant that SIZEWISE_VARIANTS names, the family of SIZEWISE_DEFAULT_MODEL, and every
    family that has nothing but broken bundles or no policy that fits. Other broken bundles are
    merely left out. `left_out` are the families of which SIZEWISE_VARIANTS leaves out something.
    """
    loaded_later = deployments.resting | deployments.unloaded
    known = deployments.families.keys() | loaded_later
    missing = {
        f"{family}/{variant}": reason
        for (family, variant), reason in sorted(lost.items())
        if variant not in deployments.families.get(family, {})
        and family not in loaded_later
        and (variant in settings.variants or family not in known)
    }
    served = {variant for variants in deployments.families.values() for variant in variants}
    for variant in set(settings.variants) - served - {variant for _, variant in lost}:
        if not loaded_later:
            missing[variant] = f"SIZEWISE_VARIANTS: the registry has no variant {variant}"
    default = settings.default_model
    if default and default not in known and not any(family == default for family, _ in lost):
        missing[default] = _unreadable(default, deployments.refused) or (
            f"SIZEWISE_DEFAULT_MODEL: SIZEWISE_VARIANTS leaves out all of {default}"
            if default in left_out
            else f"SIZEWISE_DEFAULT_MODEL: the registry has no family {default}"
        )
    return missing


def _unreadable(family: str, refused: Mapping[str, str]) -> str:
    return next((reason for path, reason in refused.items() if Path(path).name == family), "")


def each_on_a_line(reasons: Sequence[str]) -> str:
    """Say why nothing can be served: one cause, or how many, each on a line."""
    different = list(dict.fromkeys(reasons))
    if len(different) == 1:
        return different[0]
    return f"all {len(reasons)} bundles are refused:" + "".join(f"\n- {each}" for each in different)
