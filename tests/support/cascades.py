"""cascade.json for the tests' tiny families."""

from serving.bundles.cascade import (
    CASCADE_NAME,
    Cascade,
    Expected,
    Reference,
    Stage,
    Target,
    Temperature,
)

HASH = "0" * 64


def cascade_of(versions, *, threshold=0.9, reach=0.3, family="tone", **fields):
    """From the first of `versions`, variant -> version, to the last; every threshold alike."""
    *earlier, last = versions
    around = {"value": 0.9, "low": 0.88, "high": 0.92}
    stages = [
        Stage(
            variant=variant,
            version=versions[variant],
            calibration=Temperature(temperature=1.0),
            threshold=threshold,
            confidences=[0.0] * 16 + [0.1, 0.2, 0.3, 0.4],
            reach=reach**depth,
            accuracy=around,
        )
        for depth, variant in enumerate(earlier)
    ]
    ending = Stage(
        variant=last, version=versions[last], reach=reach ** len(earlier), accuracy=around
    )
    times = dict.fromkeys(("p50_ms", "p99_ms", "reference_p50_ms", "reference_p99_ms"), 1.0)
    return Cascade(
        **{
            "family": family,
            "stages": [*stages, ending],
            "reference": Reference(variant=last, version=versions[last]),
            "target": Target(loss="agreement", max_loss=0.01, confidence=0.95),
            "loss": 0.002,
            "bound": 0.008,
            "n": 1000,
            "disagreement": {"value": 0.002, "low": 0.001, "high": 0.008},
            "escalation": {"value": reach, "low": reach * 0.9, "high": min(1, reach * 1.1)},
            "expected": Expected(cost_s=0.001, reference_cost_s=0.004, machine="a test", **times),
            "batch_texts": 8,
            "ordered_sha256": HASH,
            "tested_sha256": HASH,
        }
        | fields
    )


def write_cascade(registry, versions, **fields):
    """Into the family's folder, as one rename."""
    folder = registry / "tone"
    aside = folder / ".cascade"
    aside.write_text(cascade_of(versions, **fields).model_dump_json())
    aside.rename(folder / CASCADE_NAME)
