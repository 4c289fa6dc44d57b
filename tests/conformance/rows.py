"""One row of the table: an architecture, imported and adopted, on both engines."""

import contextlib
import io
from dataclasses import dataclass

import numpy as np

from models.__main__ import main as models
from models.recipe import RecipeError
from serving.bundles.bundle import read_bundle
from serving.errors import BundleError
from serving.inference.engine_selection import ENGINES
from tests.conformance.adopting import adopted
from tests.conformance.architectures import NotAClassifierOfTexts, saved
from tests.conformance.exporting import NotExportable, export
from tests.conformance.inputs import SINGLE
from tests.conformance.judging import EQUAL, KINDS, TOLERANCE, Failing, Refused, judge, words
from tests.conformance.reference import Reference
from tests.conformance.tokenizers_of import NoTokenizerJson

WAYS = ("import", "adopt")
PAIRS_ARE_NOT_ADOPTED = Refused("a recipe's texts are single")


@dataclass(frozen=True)
class Row:
    """The cells of an architecture, by (way, kind, engine)."""

    architecture: str
    cells: dict


def row_of(architecture, folder):
    """Make, import, adopt and judge one architecture in an empty folder."""
    row = Row(architecture, {})
    try:
        classifier = saved(architecture, folder / "classifier")
    except (NotAClassifierOfTexts, NoTokenizerJson) as error:
        _fill(row, WAYS, Refused(str(error)))
        return row
    reference = Reference(classifier.model, classifier.tokenizer)
    # Otherwise any answer would be equal.
    assert np.ptp(reference.logits(SINGLE), axis=0).max() > 100 * TOLERANCE
    _adopt(row, classifier, folder / "adopted", reference)
    _import(row, classifier, folder, reference)
    return row


def _fill(row, ways, outcome, kinds=KINDS):
    row.cells.update(
        {(way, kind, name): outcome for way in ways for kind in kinds for name in ENGINES}
    )


def _judged(row, way, bundle, reference, kinds):
    for name in ENGINES:
        for kind, outcome in judge(bundle, name, reference, kinds).items():
            before = row.cells.get((way, kind, name), EQUAL)
            row.cells[way, kind, name] = outcome if before == EQUAL else before


def _adopt(row, classifier, folder, reference):
    folder.mkdir()
    _fill(row, ["adopt"], PAIRS_ARE_NOT_ADOPTED, ["pair"])
    kinds = [kind for kind in KINDS if kind != "pair"]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            bundle = adopted(classifier.folder, folder)
    except (RecipeError, BundleError) as error:
        _fill(row, ["adopt"], Refused(words(error)), kinds)
    except Exception as error:  # noqa: BLE001 (what is no refusal is a fault, whatever it is)
        _fill(row, ["adopt"], Failing(f"{type(error).__name__}: {words(error)}"), kinds)
    else:
        _judged(row, "adopt", bundle, reference, kinds)


def _import(row, classifier, folder, reference):
    try:
        export(classifier.model, classifier.tokenizer, classifier.folder / "model.onnx")
    except NotExportable as error:
        _fill(row, ["import"], Refused(words(error)))
        return
    for variant, kinds, flags in (
        ("single", ["single", "cut", "batch"], ()),
        ("pair", ["pair", "cut", "batch"], ["--pairs"]),
    ):
        try:
            bundle = imported(classifier.folder, folder / "registry", variant, *flags)
        except BundleError as error:
            _fill(row, ["import"], Refused(words(error)), kinds)
        except Exception as error:  # noqa: BLE001
            _fill(row, ["import"], Failing(f"{type(error).__name__}: {words(error)}"), kinds)
        else:
            _judged(row, "import", bundle, reference, kinds)


def imported(classifier, registry, variant, *flags, family="f"):
    """The bundle that `python -m models import` makes. Raises BundleError as it refuses."""
    where = ("--family", family, "--variant", variant, "--registry", str(registry))
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        status = models(["import", str(classifier), *where, *flags])
    if status:
        raise BundleError(told.getvalue().strip())
    return read_bundle(registry / family / variant)
