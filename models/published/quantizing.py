"""The command `quantize` of a published variant: other number formats beside it, measured."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from models.evaluation.predictions import windows_for
from models.graphs.import_trial import try_out
from models.graphs.number_formats import write_format
from models.published.measuring import Measured, agreeing, answers_of, scored
from models.published.publishing import bundles_of, default_of, named, publish_measured
from models.published.texts import Columns, UserTexts, read_texts
from models.recipe_sections import Scheme
from serving.bundles.bundle import Bundle
from serving.bundles.files import NAME
from serving.bundles.windows import Long, Windows
from serving.errors import BundleError

Tell = Callable[[str], None]


def quantize(
    target: str,
    schemes: Sequence[Scheme],
    files: Sequence[Path],
    columns: Columns,
    registry: Path,
    *,
    long: Long | None = None,
    tell: Tell = print,
    say: Tell = print,
) -> list[str]:
    """Publish FAMILY/VARIANT in other number formats, as FAMILY/VARIANT-SCHEME; return these.

    Each gets its accuracy if `columns` name a label, else its agreement with the variant, which
    gets the same unless it has a figure; the texts that calibrate judge nothing; `long` is that of
    `evaluate`. A scheme that fails is said and fails alone. Raises RecipeError or BundleError in a
    sentence, also if all schemes fail.
    """
    parent = named(target, registry)
    manifest = parent.manifest
    texts = read_texts(files, columns, parent)
    if manifest.precision != "fp32":
        raise BundleError(
            f"{target} is {manifest.precision} already: quantize the fp32 variant it is made from"
        )
    there = {each.manifest.variant: each for each in bundles_of(manifest.family, registry)}
    ranges, judging = texts.divided()
    windows = windows_for(parent, long)
    before = _measured_parent(parent, judging, windows, labelled=columns.label is not None)
    made: list[Measured] = []
    with tempfile.TemporaryDirectory() as scratch:
        for scheme in dict.fromkeys(schemes):
            variant = f"{manifest.variant}-{scheme}"
            folder = Path(scratch) / scheme
            folder.mkdir()
            try:
                _check_name(variant, there, parent)
                bundle = write_format(scheme, parent, variant, folder, ranges)
                try_out(bundle)
                made.append(_measured(bundle, judging, before, windows))
            except Exception as error:  # noqa: BLE001 (the libraries raise any type)
                reason = str(error).replace(str(folder), variant) or type(error).__name__
                say(f"{scheme} is left out: {' '.join(reason.split())}")
        if not made:
            raise BundleError(f"{target} could be written in none of these number formats")
        formats = [each.bundle.manifest.variant for each in made]
        is_measured = manifest.judged or (columns.label is None and manifest.agreement)
        if not is_measured:
            made.insert(0, before)
        for each in made:
            publish_measured(each.bundle, each.fields, registry, tell)
            share = each.bundle.manifest.bytes / manifest.bytes
            tell(f"{each.says}; {each.bundle.manifest.bytes:,} bytes, {share:.0%} of {target}")
    tell(default_of(manifest.family, registry))
    return formats


def _measured_parent(
    parent: Bundle, judging: UserTexts, windows: Windows | None, *, labelled: bool
) -> Measured:
    if labelled:
        return scored(parent, judging, {}, windows)
    answers = answers_of(parent, judging, windows)
    return agreeing(parent, judging, parent, answers, windows)


def _measured(
    bundle: Bundle, judging: UserTexts, before: Measured, windows: Windows | None
) -> Measured:
    """Compare a number format with what it was made from."""
    if judging.names:
        others = {before.bundle.manifest.variant: before.predictions}
        return scored(bundle, judging, others, windows)
    return agreeing(bundle, judging, before.bundle, before.predictions, windows)


def _check_name(variant: str, there: dict[str, Bundle], parent: Bundle) -> None:
    """Raise BundleError if the variant would replace one that was made otherwise."""
    if not NAME.fullmatch(variant):
        raise BundleError(f"{variant} is too long a name: import the variant under a shorter one")
    old = there.get(variant)
    if old and (old.manifest.parent != parent.manifest.variant or old.manifest.recipe):
        raise BundleError(f"{old.folder} exists and was made otherwise: rename or remove it")
