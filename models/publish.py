"""The command `publish`: its arguments.

What it runs is imported when it is called, so that `--help` needs no optional package.
"""

import argparse
import contextlib
from pathlib import Path

from models.next_command import serving
from serving.bundles.files import NAME
from serving.bundles.registry import BESIDE, PREVIOUS, TRAFFIC_NAME
from serving.errors import BundleError, printable

DOES = "copy a bundle into a registry, under its own or another name"


def add_publish(command: argparse.ArgumentParser) -> None:
    """Add the arguments of `publish` but for the registry."""
    command.add_argument("bundle", type=Path, help="the folder of a bundle")
    command.add_argument(
        "--as", dest="names", type=_names, metavar="FAMILY/VARIANT[@NAME]",
        help="what to name it there; @NAME is a version that is not served; default: its own name",
    )  # fmt: skip


def _names(given: str) -> dict[str, str]:
    from models.retraining.canary import REFRESHED  # noqa: PLC0415

    family, _, rest = given.partition("/")
    variant, at, name = rest.partition(BESIDE)
    beside = at + name
    if not all(map(NAME.fullmatch, (family, variant, *([name] if at else [])))):
        raise argparse.ArgumentTypeError(f"{given!r} is not FAMILY/VARIANT or FAMILY/VARIANT@NAME")
    if beside == PREVIOUS:
        raise argparse.ArgumentTypeError(
            f"{beside} is taken: publishing keeps the last version there"
        )
    if beside == REFRESHED:
        raise argparse.ArgumentTypeError(f"{beside} is taken: `python -m models refresh` uses it")
    return {"family": family, "variant": variant, "beside": beside}


def run(options: argparse.Namespace) -> str:
    """Publish a bundle; return the command that serves it. Raises BundleError."""
    from models.published.publishing import default_of, publish_as  # noqa: PLC0415

    names = options.names or {}
    bundle = publish_as(options.bundle, options.registry, **names)
    print(printable(f"Published {bundle.folder}, version {bundle.manifest.version}"))
    if names.get("beside"):
        return f"name the version in {printable(str(bundle.folder.parent / TRAFFIC_NAME))}"
    # What else is in the registry may be broken.
    with contextlib.suppress(BundleError):
        print(default_of(bundle.manifest.family, options.registry))
    return printable(serving(options.registry))
