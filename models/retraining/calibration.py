"""A family's cascade and decisions made anew for its next versions, with the targets they had.

They are calibrated on the new calibration split, of which some texts have labels because somebody
gave feedback: a random sample only where every sampled text was labelled.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from models.cascade import build as cascade_build
from models.cascade.looks import LOOKS_NAME
from models.cascade.options import CascadeOptions
from models.decisions import build as decisions_build
from models.decisions.options import DecideOptions
from models.recipe import RecipeError
from serving.bundles.cascade import CASCADE_NAME, Cascade
from serving.bundles.decisions import DECISIONS_NAME, Decisions
from serving.bundles.family_file import read_family_file
from serving.bundles.files import replace_file
from serving.bundles.windows import WINDOWS_NAME
from serving.errors import StartError, failures


def has_calibrated_files(family: Path) -> bool:
    """Whether a family's folder has a cascade or decisions."""
    return any((family / name).exists() for name in (CASCADE_NAME, DECISIONS_NAME))


def calibrate(
    live: Path, made: Path, build: Path, output: Path, tell: Callable[[str], None] = print
) -> None:
    """Make in the folder `made` of a family what the one in `live` has of cascade and decisions.

    `build` is the build folder of the new versions; pictures go to `output`. Both of the family's
    logs of looks get the look. Raises RecipeError or BundleError if a file cannot be made.
    """
    family = live.name
    for name in (WINDOWS_NAME, LOOKS_NAME):
        _copy(live / name, made / name)
    cascade = read_family_file(live, CASCADE_NAME, Cascade)
    decisions = read_family_file(live, DECISIONS_NAME, Decisions)
    if not (cascade or decisions):
        return
    tell(
        "Calibrating anew. The guarantee is for traffic of which the texts of the calibration split"
        " are a random sample: labelled texts that somebody chose, as in feedback, are none."
    )
    if cascade:
        options = CascadeOptions(
            family, made.parent, build, cascade.target,
            long=cascade.long, early_labels=cascade.stages[0].early_labels,
        )  # fmt: skip
        try:
            with _as_before(live / CASCADE_NAME):
                cascade_build.run(options, output)
        finally:
            _copy(made / LOOKS_NAME, live / LOOKS_NAME)
    if decisions:
        wanted = DecideOptions(
            family, made.parent, build, decisions.targets, decisions.confidence, long=decisions.long
        )
        with _as_before(live / DECISIONS_NAME):
            decisions_build.run(wanted, output)


@contextmanager
def _as_before(path: Path) -> Iterator[None]:
    try:
        yield
    except RecipeError as error:
        raise RecipeError(
            f"{path.name} cannot be made for the new versions, with the targets of {path}: {error};"
            " make that file with other targets, or remove it"
        ) from error


def _copy(source: Path, target: Path) -> None:
    if source.exists():
        with failures(StartError, f"{target} cannot be written"):
            replace_file(target, source.read_bytes())
