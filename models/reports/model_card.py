"""The model card: a manifest in plain words, as Markdown with Hugging Face's front matter."""

from models.reports.faithfulness_tables import explanations
from models.reports.group_tables import groups
from models.reports.markdown import UNDEFINED, comparison, escaped, percent, table
from models.reports.pair_tables import swapped_words
from models.reports.robustness_tables import robustness
from serving.bundles.bundle import Manifest
from serving.bundles.evaluation import Agreement, Evaluation

_FRONT = """---
library_name: onnx
pipeline_tag: text-classification
tags: [onnx, sizewise, {precision}]
---
"""
_SEARCHED = """
Which operators keep the parent's format was chosen on training texts. The validation split judged
the result once: at 95 % confidence it loses at most {limit} of {of}."""
FINE_TUNED_ELSEWHERE = "The model was fine-tuned elsewhere."
"""What only the card of an `adopted` variant says."""
_SERVE = """## Serving

```
SIZEWISE_REGISTRY=REGISTRY python -m serving
curl -s http://127.0.0.1:8000/v1/classify -H 'Content-Type: application/json' \\
  -d '{{"texts": ["..."], "model": "{family}", "variant": "{variant}"}}'
```
"""


def card(manifest: Manifest, *, adopted: bool = False) -> str:
    """Write a variant's card; it warns if the variant has not been evaluated.

    `adopted` variants are, or were made from, a model that was fine-tuned elsewhere, so it is not
    known which texts it has seen.
    """
    parts = [
        _FRONT.format(precision=manifest.precision),
        f"# {manifest.family}/{manifest.variant}\n",
        _what(manifest),
        _how(manifest),
    ]
    evaluation = manifest.judged
    if evaluation:
        parts += [
            _scores(evaluation, "texts of the test split" if adopted else "held-out texts"),
            _labels(evaluation),
            _confusion(manifest, evaluation),
            _lengths(evaluation),
            _comparisons(evaluation),
        ]
    elif manifest.agreement:
        parts.append(_agreement(manifest.agreement))
    else:
        parts.append("This variant has not been evaluated: measure it before you rely on it.\n")
    parts += [
        robustness(manifest),
        groups(manifest),
        swapped_words(manifest),
        explanations(manifest),
        _limits(manifest, evaluation, adopted=adopted),
        _SERVE.format(**manifest.model_dump()),
    ]
    return "\n".join(part for part in parts if part)


def _what(manifest: Manifest) -> str:
    kinds = {"single_label": "exactly one", "multi_label": "any number", "regression": "a value"}
    kind = kinds[manifest.problem_type]
    labels = ", ".join(map(escaped, manifest.labels))
    by = ", ".join(manifest.normalize)
    normalised = [("input normalisation", by)] if by else []
    return f"A text classifier: each text gets {kind} of the labels {labels}.\n\n" + table(
        ("", ""),
        [
            ("version", f"`{manifest.version}`"),
            ("precision", manifest.precision),
            ("parameters", f"{manifest.parameters:,}"),
            ("bytes", f"{manifest.bytes:,}"),
            ("longest text", f"{manifest.max_length} tokens"),
            *normalised,
            ("temperature", f"{manifest.temperature:.3f}"),
        ],
    )


def _how(manifest: Manifest) -> str:
    roots = {"adopt": "a fine-tuned model", "static": "labelled texts"}
    root = next((roots[key] for key in roots if key in manifest.recipe), "a base model")
    origin = f"`{manifest.parent}`" if manifest.parent else root
    if not manifest.recipe:
        made = f"Made from {origin}, without training" if manifest.parent else "Imported"
        return f"## Training and compression\n\n{made}.\n"
    stages = [
        f"- {stage}: " + ", ".join(f"{key} {escaped(str(value))}" for key, value in section.items())
        for stage, section in manifest.recipe.items()
        if isinstance(section, dict) and section
    ]
    seconds = sum(manifest.build_seconds.values())
    quantize = manifest.recipe.get("quantize")
    if isinstance(quantize, dict) and quantize.get("scheme") == "int8-openvino":
        of = "accuracy" if manifest.judged else "agreement with the original"
        stages.append(_SEARCHED.format(limit=quantize["max_accuracy_drop"], of=of))
    return f"## Training and compression\n\nMade from {origin} in {seconds:.0f} s.\n\n" + "".join(
        f"{stage}\n" for stage in stages
    )


def _scores(evaluation: Evaluation, texts: str) -> str:
    rows = [("accuracy", percent(evaluation.accuracy)), ("macro-F1", percent(evaluation.macro_f1))]
    for name, accuracy in evaluation.baselines.items():
        rows.append((f"accuracy of a baseline: {name}", percent(accuracy)))
    error = percent(evaluation.expected_calibration_error)
    if evaluation.calibrated_error:
        error += f"; a calibrated model's would be {percent(evaluation.calibrated_error)}"
    if evaluation.uncalibrated_error is not None:
        error += f"; before temperature scaling {100 * evaluation.uncalibrated_error:.1f} %"
    rows.append(("expected calibration error", error))
    for name, estimate in (
        ("Brier score", evaluation.brier),
        ("negative log-likelihood, nats", evaluation.negative_log_likelihood),
    ):
        if estimate:
            interval = f"({estimate.low:.3f} to {estimate.high:.3f})"
            rows.append((name, f"{estimate.value:.3f} {interval}"))
    if evaluation.agreement:
        rows.append(("agreement with the teacher", percent(evaluation.agreement)))
    if evaluation.batch_flips:
        flips = percent(evaluation.batch_flips)
        rows.append(("predictions that change in a padded batch", flips))
    if evaluation.texts_per_second:
        rows.append(
            (
                "texts per second, offline, on the build machine",
                f"{evaluation.texts_per_second:.0f}",
            )
        )
    return (
        f"## Evaluation\n\nOn {evaluation.n:,} {texts}, each alone in its batch, with 95 % "
        "intervals. The report of a cascade runs batches of eight, so its figures may differ.\n\n"
        + table(("metric", "value"), rows)
    )


def _agreement(found: Agreement) -> str:
    return (
        f"## Evaluation\n\nIts accuracy has not been measured. On {found.n:,} texts it answers as "
        f"`{found.family}/{found.variant}`, version `{found.version}`, on "
        f"{percent(found.share)}.\n"
    )


def _labels(evaluation: Evaluation) -> str:
    rows = [
        (escaped(name), _share(s.precision), _share(s.recall), _share(s.f1), s.texts)
        for name, s in evaluation.labels.items()
    ]
    return table(("label", "precision, %", "recall, %", "F1, %", "texts"), rows) if rows else ""


def _share(value: float | None) -> str:
    return UNDEFINED if value is None else f"{100 * value:.1f}"


def _confusion(manifest: Manifest, evaluation: Evaluation) -> str:
    if evaluation.confusion is None:
        return ""
    labels = [escaped(label) for label in manifest.labels]
    rows = [(name, *counts) for name, counts in zip(labels, evaluation.confusion, strict=True)]
    return table(("true \\ predicted", *labels), rows)


def _lengths(evaluation: Evaluation) -> str:
    rows = [
        (f"{band.shortest} to {band.longest}", band.n, percent(band.accuracy))
        for band in evaluation.lengths
    ]
    return table(("tokens", "texts", "accuracy"), rows) if rows else ""


def _comparisons(evaluation: Evaluation) -> str:
    if not evaluation.versus:
        return ""
    lines = [
        f"- {comparison(name, pair, evaluation.n)}\n" for name, pair in evaluation.versus.items()
    ]
    return (
        "Compared on the same texts, by McNemar's exact test for a difference and Tango's "
        "non-inferiority test for its absence:\n\n" + "".join(lines)
    )


def _limits(manifest: Manifest, evaluation: Evaluation | None, *, adopted: bool) -> str:
    lines = [
        "The scores are for texts like those of the test split; other texts may score lower.",
        f"Texts of more than {manifest.max_length} tokens are rejected, or truncated on request.",
    ]
    if adopted:
        lines.append(
            f"{FINE_TUNED_ELSEWHERE} If it has seen texts of the test split, its scores are too "
            "high."
        )
    if evaluation and evaluation.batch_flips and evaluation.batch_flips.value > 0:
        lines.append(
            "Predictions close to the decision boundary may depend on the other texts in a padded "
            f"batch: {percent(evaluation.batch_flips)} did."
        )
    return "## Limits\n\n" + "".join(f"- {line}\n" for line in lines)
