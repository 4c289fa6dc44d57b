"""The model card: a manifest in plain words, as Markdown with Hugging Face's front matter."""

from models.reports.markdown import comparison, percent, table
from serving.bundles.bundle import Manifest
from serving.bundles.evaluation import Evaluation

_FRONT = """---
library_name: onnx
pipeline_tag: text-classification
tags: [onnx, sizewise, {precision}]
---
"""
_SERVE = """## Serving

```
SIZEWISE_REGISTRY=REGISTRY python -m serving
curl -s http://127.0.0.1:8000/v1/classify -H 'Content-Type: application/json' \\
  -d '{{"texts": ["..."], "model": "{family}", "variant": "{variant}"}}'
```
"""


def card(manifest: Manifest) -> str:
    """Write a variant's card; it warns if the variant has not been evaluated."""
    parts = [
        _FRONT.format(precision=manifest.precision),
        f"# {manifest.family}/{manifest.variant}\n",
        _what(manifest),
        _how(manifest),
    ]
    evaluation = manifest.judged
    if evaluation:
        parts += [
            _scores(evaluation),
            _labels(evaluation),
            _confusion(manifest, evaluation),
            _lengths(evaluation),
            _comparisons(evaluation),
        ]
    else:
        parts.append("This variant has not been evaluated: measure it before you rely on it.\n")
    parts += [_limits(manifest, evaluation), _SERVE.format(**manifest.model_dump())]
    return "\n".join(part for part in parts if part)


def _what(manifest: Manifest) -> str:
    kinds = {"single_label": "exactly one", "multi_label": "any number", "regression": "a value"}
    kind = kinds[manifest.problem_type]
    return (
        f"A text classifier: each text gets {kind} of the labels {', '.join(manifest.labels)}."
        "\n\n"
        + table(
            ("", ""),
            [
                ("version", f"`{manifest.version}`"),
                ("precision", manifest.precision),
                ("parameters", f"{manifest.parameters:,}"),
                ("bytes", f"{manifest.bytes:,}"),
                ("longest text", f"{manifest.max_length} tokens"),
                ("temperature", f"{manifest.temperature:.3f}"),
            ],
        )
    )


def _how(manifest: Manifest) -> str:
    origin = f"`{manifest.parent}`" if manifest.parent else "a base model"
    stages = [
        f"- {stage}: " + ", ".join(f"{key} {value}" for key, value in section.items())
        for stage, section in manifest.recipe.items()
        if isinstance(section, dict) and section
    ]
    seconds = sum(manifest.build_seconds.values())
    return f"## Training and compression\n\nMade from {origin} in {seconds:.0f} s.\n\n" + "".join(
        f"{stage}\n" for stage in stages
    )


def _scores(evaluation: Evaluation) -> str:
    rows = [("accuracy", percent(evaluation.accuracy)), ("macro-F1", percent(evaluation.macro_f1))]
    error = percent(evaluation.expected_calibration_error)
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
    return f"## Evaluation\n\nOn {evaluation.n:,} held-out texts, with 95 % intervals:\n\n" + table(
        ("metric", "value"), rows
    )


def _labels(evaluation: Evaluation) -> str:
    rows = [
        (name, f"{100 * s.precision:.1f}", f"{100 * s.recall:.1f}", f"{100 * s.f1:.1f}", s.texts)
        for name, s in evaluation.labels.items()
    ]
    return table(("label", "precision, %", "recall, %", "F1, %", "texts"), rows) if rows else ""


def _confusion(manifest: Manifest, evaluation: Evaluation) -> str:
    if evaluation.confusion is None:
        return ""
    rows = [
        (name, *counts) for name, counts in zip(manifest.labels, evaluation.confusion, strict=True)
    ]
    return table(("true \\ predicted", *manifest.labels), rows)


def _lengths(evaluation: Evaluation) -> str:
    rows = [
        (f"{band.shortest} to {band.longest}", band.n, percent(band.accuracy))
        for band in evaluation.lengths
    ]
    return table(("tokens", "texts", "accuracy"), rows) if rows else ""


def _comparisons(evaluation: Evaluation) -> str:
    if not evaluation.versus:
        return ""
    lines = [f"- {comparison(name, pair)}\n" for name, pair in evaluation.versus.items()]
    return "Compared on the same texts (McNemar's exact test):\n\n" + "".join(lines)


def _limits(manifest: Manifest, evaluation: Evaluation | None) -> str:
    lines = [
        "The test texts resemble the training texts; expect lower scores on other texts.",
        f"Texts of more than {manifest.max_length} tokens are rejected, or truncated on request.",
    ]
    if evaluation and evaluation.batch_flips and evaluation.batch_flips.value > 0:
        lines.append(
            "Predictions close to the decision boundary may depend on the other texts in a padded "
            f"batch: {percent(evaluation.batch_flips)} did."
        )
    return "## Limits\n\n" + "".join(f"- {line}\n" for line in lines)
