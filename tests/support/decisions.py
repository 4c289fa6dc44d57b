"""decisions.json for the tests' tiny families."""

from serving.bundles.decisions import DECISIONS_NAME, Decided, Decider, Decisions, LabelTarget
from tests.support.cascades import HASH

AROUND = {"value": 0.3, "low": 0.25, "high": 0.35}


def decided(label, threshold):
    point = {"threshold": threshold, "false_positive_rate": AROUND, "recall": AROUND}
    return Decided(label=label, n=1000, risk=0.04, flagged=AROUND, curve=[point], **point)


def decider(versions, thresholds, *, variant=None, cascade=None, **fields):
    """Of a variant, or of a cascade; `thresholds` are by label."""
    return Decider(
        **{
            "variant": variant,
            "versions": {variant: versions[variant]} if variant else versions,
            "cascade_hash": cascade.fingerprint if cascade else None,
            "flagged": AROUND,
            "labels": [decided(*each) for each in thresholds.items()],
        }
        | fields
    )


def decisions_of(*deciders, family="tone", **fields):
    labels = [each.label for each in deciders[0].labels]
    return Decisions(
        **{
            "family": family,
            "targets": [LabelTarget(label=each, max_false_positive_rate=0.1) for each in labels],
            "confidence": 0.95,
            "batch_texts": 8,
            "chosen_sha256": HASH,
            "judged_sha256": HASH,
            "deciders": list(deciders),
        }
        | fields
    )


def write_decisions(registry, decisions):
    """Into the family's folder, as one rename."""
    folder = registry / decisions.family
    aside = folder / ".decisions"
    aside.write_text(decisions.model_dump_json())
    aside.rename(folder / DECISIONS_NAME)
