"""The command `windows`: how a family's long texts are best joined from windows, and what for."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from models.evaluation.predictions import Predictor
from models.evaluation.statistics import Flags, proportion
from models.evaluation.windows import (
    CANDIDATES,
    OVERLAPS,
    Calibration,
    LongTexts,
    RuleFigures,
    chosen,
    figures,
    length_classes,
    plain,
)
from models.published.publishing import bundles_of
from models.published.texts import Columns, UserTexts, read_texts
from models.recipe import RecipeError
from serving.bundles.bundle import Bundle
from serving.bundles.evaluation import Estimate, Paired
from serving.bundles.family_file import write_family_file
from serving.bundles.windows import (
    WINDOWS_NAME,
    Long,
    MeasuredWindows,
    Windows,
    check_windows,
    windows_beside,
)
from serving.errors import BundleError
from serving.inference.inputs import Text
from serving.inference.windows import Windowing

Tell = Callable[[str], None]
_FEWEST = 40


@dataclass(frozen=True)
class _Found:
    """A variant's texts, its windowing with the temperature, and what the judging texts say."""

    texts: LongTexts
    windowing: Windowing
    judged: MeasuredWindows
    calibration: dict[str, Calibration]
    """Of the truncated texts, of windows joined as they are, and with the temperature."""


def calibrate(
    target: str,
    files: Sequence[Path],
    columns: Columns,
    registry: Path,
    *,
    output: Path,
    long: Long | None = None,
    tell: Tell = print,
) -> Path:
    """Measure every rule on FAMILY's labelled long texts, and write the best as windows.json.

    One half of the texts chooses the rule and fits the temperatures, the other judges. `long`
    becomes the family's default; without it the default stays. The figures go into `output`.
    Returns the path of windows.json. Raises RecipeError or BundleError in a sentence.
    """
    bundles = bundles_of(target, registry)
    if "/" in target:
        raise BundleError(f"{target} is a variant: one rule is for all variants of a family")
    texts = read_texts(files, columns, bundles[0])
    before = windows_beside(bundles[0])
    variants = [_run(each, texts) for each in bundles]
    for each in variants:
        _tell_rules(each, tell)
    best = chosen(variants)
    found = [_judged(each, best) for each in variants]
    tell(f"Chosen on the first half: {best.rule}, overlap {best.overlap:.0%}. On the other half:")
    for judged in found:
        _tell_judged(judged, tell)
    windows = Windows(
        long=long or before.long,
        rule=best.rule,
        overlap=best.overlap,
        temperatures={
            each.texts.manifest.version: round(each.windowing.temperature, 4) for each in found
        },
        texts_sha256=texts.sha256,
        measured={each.texts.manifest.variant: each.judged for each in found},
    )
    check_windows(windows, [each.manifest for each in bundles])
    path = write_family_file(registry / target, WINDOWS_NAME, windows)
    report = output / WINDOWS_NAME
    output.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(_report(found), indent=2) + "\n")
    tell(f"Wrote {path} and {report}. Long texts of requests that do not say it: {windows.long}")
    return path


def _run(bundle: Bundle, texts: UserTexts) -> LongTexts:
    """Run a variant on the texts that are too long for it."""
    manifest, predictor = bundle.manifest, Predictor(bundle)
    long = predictor.too_long(texts.texts)
    if len(long) < _FEWEST:
        raise RecipeError(
            f"--data has {len(long)} texts of more than the {manifest.max_length} tokens that "
            f"{manifest.variant} reads: some choose and others judge, so give at least {_FEWEST}"
        )
    at = [index for index, _ in long]
    its: list[Text] = [texts.texts[index] for index in at]
    half: Flags = np.array([_digest(text)[0] % 2 == 0 for text in its])
    if half.all() or not half.any():
        raise RecipeError("--data has one long text over and over: give different ones")
    return LongTexts(
        manifest,
        texts.truth(manifest.labels)[at],
        np.array([length for _, length in long]),
        predictor.logits(its),
        {overlap: predictor.window_logits(its, plain("mean", overlap)) for overlap in OVERLAPS},
        half,
    )


def _digest(text: Text) -> bytes:
    """Return what puts a text into a half, so that equal ones are in the same."""
    return hashlib.sha256(json.dumps(text).encode()).digest()


def _judged(texts: LongTexts, best: Windowing) -> _Found:
    windowing, judge = texts.tempered(best), ~texts.calibrates
    measured = figures(texts, windowing, judge)
    return _Found(
        texts,
        windowing,
        MeasuredWindows(
            version=texts.manifest.version,
            n=int(judge.sum()),
            truncated=proportion(texts.hits(texts.truncated)[judge]),
            joined=measured.accuracy,
            versus=measured.versus,
        ),
        {
            "truncated": texts.calibration(texts.truncated, judge),
            "joined": texts.calibration(texts.joined(best), judge),
            "tempered": texts.calibration(texts.joined(windowing), judge),
        },
    )


def by_length(texts: LongTexts, windowing: Windowing) -> Mapping[str, RuleFigures]:
    """Measure a rule on the judging texts of each class of length."""
    classes = length_classes(texts.lengths, texts.manifest.max_length)
    judging = {name: inside & ~texts.calibrates for name, inside in classes.items()}
    return {name: figures(texts, windowing, at) for name, at in judging.items() if at.any()}


def _tell_rules(texts: LongTexts, tell: Tell) -> None:
    manifest, at = texts.manifest, texts.calibrates
    truncated = proportion(texts.hits(texts.truncated)[at])
    tell(
        f"{manifest.variant}: {len(at):,} texts of more than {manifest.max_length} tokens; the "
        f"{int(at.sum()):,} that choose, truncated: accuracy {_in_words(truncated)}"
    )
    for candidate in CANDIDATES:
        its = figures(texts, candidate, at)
        tell(
            f"  {its.rule:15}{its.overlap:5.0%} overlap {its.windows:6.1f} windows  "
            f"accuracy {_in_words(its.accuracy)}  {_points(its.versus)}"
        )


def _tell_judged(found: _Found, tell: Tell) -> None:
    judged, texts = found.judged, found.texts
    tell(
        f"{texts.manifest.variant}: accuracy {_in_words(judged.joined)} by windows, "
        f"{_in_words(judged.truncated)} truncated, {_points(judged.versus)}, on {judged.n:,} "
        f"texts; temperature {found.windowing.temperature:.2f}"
    )
    for name, its in found.calibration.items():
        tell(f"  {name:12}log loss {its.log_loss:.3f}  calibration error {its.error:.3f}")
    for name, of_class in by_length(texts, found.windowing).items():
        tell(f"  {name:22}accuracy {_in_words(of_class.accuracy)}  {_points(of_class.versus)}")


def _points(versus: Paired) -> str:
    difference = versus.difference
    return (
        f"{100 * difference.value:+.1f} points against truncation "
        f"[{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"
    )


def _in_words(share: Estimate) -> str:
    return f"{share.value:.3f} [{share.low:.3f}, {share.high:.3f}]"


def _report(found: Sequence[_Found]) -> dict[str, object]:
    """Return all figures, as JSON."""

    def plain_of(its: RuleFigures) -> dict[str, object]:
        return asdict(its) | {
            "accuracy": its.accuracy.model_dump(), "versus": its.versus.model_dump(),
        }  # fmt: skip

    return {
        each.texts.manifest.variant: {
            "rules": [plain_of(figures(each.texts, c, each.texts.calibrates)) for c in CANDIDATES],
            "judged": each.judged.model_dump(),
            "temperature": each.windowing.temperature,
            "calibration": {name: its._asdict() for name, its in each.calibration.items()},
            "by_length": {
                name: plain_of(its) for name, its in by_length(each.texts, each.windowing).items()
            },
        }
        for each in found
    }
