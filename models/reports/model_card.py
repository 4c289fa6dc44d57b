"""The model card: a manifest in plain words, as Markdown with Hugging Face's front matter.

It does not know anything that the manifest does not say.
"""

from collections.abc import Iterable, Sequence

from serving.bundles.bundle import Manifest
from serving.bundles.evaluation import Estimate, Evaluation, Paired

_SIGNIFICANT = 0.05
_FRONT = """---
library_name: onnx
pipeline_tag: text-classification
tags: [onnx, sizewise, {precision}]
---
"""
_SERVE = """## Serve it

```
SIZEWISE_REGISTRY=REGISTRY python -m serving
curl -s http://127.0.0.1:8000/v1/classify -H 'Content-Type: application/json' \\
  -d '{{"texts": ["..."], "model": "{family}", "variant": "{variant}"}}'
```
"""


def card(manifest: Manifest) -> str:
    """The card of one variant; without evaluations it says that nothing is known."""
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
        parts.append("It has not been evaluated: measure it before you trust it.\n")
    parts += [_limits(manifest, evaluation), _SERVE.format(**manifest.model_dump())]
    return "\n".join(part for part in parts if part)


def percent(estimate: Estimate, unit: str = " %") -> str:
    """A fraction with its interval, as `87.4 % (85.9 to 88.9)`."""
    value, low, high = (f"{100 * x:.1f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value}{unit} ({low} to {high})"


def in_words(name: str, pair: Paired) -> str:
    """What McNemar's test says of this variant beside another, as a sentence."""
    points = [100 * x for x in (pair.difference.value, pair.difference.low, pair.difference.high)]
    detail = (
        f"{points[0]:+.2f} points ({points[1]:+.2f} to {points[2]:+.2f}), p = {pair.p_value:.2g}; "
        f"{pair.better} texts only this one gets right, {pair.worse} only {name}"
    )
    if pair.p_value >= _SIGNIFICANT:
        return f"No significant difference from {name}: {detail}."
    verdict = "Better" if pair.difference.value > 0 else "Worse"
    return f"{verdict} than {name}: {detail}."


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; the first column is on the left, the others on the right."""
    rule = ["---", *("--:" for _ in header[1:])]
    lines = [header, rule, *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def _what(manifest: Manifest) -> str:
    kind = "one" if manifest.problem_type == "single_label" else "any number"
    return (
        f"A text classifier that gives a text {kind} of: {', '.join(manifest.labels)}.\n\n"
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
    made = f"from `{manifest.parent}`" if manifest.parent else "from a base model"
    stages = [
        f"- {stage}: " + ", ".join(f"{key} {value}" for key, value in section.items())
        for stage, section in manifest.recipe.items()
        if isinstance(section, dict) and section
    ]
    seconds = sum(manifest.build_seconds.values())
    return f"## How it was made\n\nMade {made} in {seconds:.0f} s.\n\n" + "".join(
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
        rows.append(("same answer as the teacher", percent(evaluation.agreement)))
    if evaluation.batch_flips:
        flips = percent(evaluation.batch_flips)
        rows.append(("answers that change with batch-mates and padding", flips))
    if evaluation.texts_per_second:
        rows.append(
            ("texts per second, offline, where it was built", f"{evaluation.texts_per_second:.0f}")
        )
    return (
        f"## What it scores\n\nOn {evaluation.n:,} held-out texts, with 95 % intervals:\n\n"
        + table(("figure", "value"), rows)
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
    return table(("truth \\ answer", *manifest.labels), rows)


def _lengths(evaluation: Evaluation) -> str:
    rows = [
        (f"{band.shortest} to {band.longest}", band.n, percent(band.accuracy))
        for band in evaluation.lengths
    ]
    return table(("tokens", "texts", "accuracy"), rows) if rows else ""


def _comparisons(evaluation: Evaluation) -> str:
    if not evaluation.versus:
        return ""
    lines = [f"- {in_words(name, pair)}\n" for name, pair in evaluation.versus.items()]
    return "Paired on the same texts (McNemar's exact test):\n\n" + "".join(lines)


def _limits(manifest: Manifest, evaluation: Evaluation | None) -> str:
    lines = [
        "It was scored on texts like those that it was trained on; on others expect less.",
        f"Texts of over {manifest.max_length} tokens are refused, or cut when asked to.",
    ]
    if evaluation and evaluation.batch_flips and evaluation.batch_flips.value > 0:
        lines.append(
            "An answer near the border may change with the texts beside it and with padding: "
            f"{percent(evaluation.batch_flips)} did."
        )
    return "## Limits\n\n" + "".join(f"- {line}\n" for line in lines)
