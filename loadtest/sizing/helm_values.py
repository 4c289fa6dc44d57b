"""Write a recommendation as Helm values, and name the command that applies them."""

import json
import math
from pathlib import Path

from loadtest.analysis.cascade_choices import request_fields
from loadtest.analysis.recommendation import Recommendation, SizedChoice
from loadtest.analysis.replica_curve import ScalingTargets

_MIB = 1 << 20
_MEMORY_FACTOR = 1.25
_MIN_REPLICAS = 2  # one may fail; but never more than the requirements need
_MAX_FACTOR = 3  # the autoscaler's upper bound is this multiple of the recommended replicas


def write_values(found: Recommendation, cores: int, command: str, path: Path) -> None:
    """Write the Helm values of a recommendation. Raise ValueError if it recommends nothing."""
    chosen = found.chosen
    if chosen is None or not found.is_certain:
        raise ValueError("nothing is recommended, so there are no values to write")
    memory = math.ceil((chosen.peak_bytes or 0) * _MEMORY_FACTOR / _MIB)
    limit = f'\n  limits: {{memory: "{memory}Mi"}}' if memory else ""
    request = f', memory: "{memory}Mi"' if memory else ""
    path.write_text(
        f"""# {command}
# {chosen.model}/{chosen.variant}
# Predicted: p99 {chosen.p99_ms:.1f} ms at {chosen.rate_rps:.1f} requests/s per replica.
replicaCount: {chosen.replicas}
{_variant_lines(chosen)}
resources:
  requests: {{cpu: "{cores}"{request}}}{limit}
autoscaling:
  minReplicas: {min(_MIN_REPLICAS, chosen.replicas)}
  maxReplicas: {_MAX_FACTOR * chosen.replicas}
{_target_lines(chosen.targets)}"""
    )


def _variant_lines(chosen: SizedChoice) -> str:
    variants = f"variants: [{', '.join(chosen.stages)}]"
    if len(chosen.stages) == 1:
        return variants
    fields = json.dumps(request_fields(chosen.variant))
    variants = f"# Needs cascade.json in the family's folder. Clients send: {fields}\n{variants}"
    if chosen.brownout_ms is None:
        return variants
    return f"{variants}\nsettings: {{brownout_ms: {chosen.brownout_ms}}}"


def _target_lines(found: ScalingTargets | None) -> str:
    if found is None:
        return (
            "  # No targets: they need a closed load, an open load and the server's queue times\n"
        )
    return f"""  # Queue time at a replica's capacity, requests in flight at {found.rate_rps:.1f}/s
  targetQueueSeconds: {found.queue_s:.3f}
  targetRequestsInFlight: {max(found.in_flight, 0.01):.2f}
"""


def upgrade_command(values: Path) -> str:
    """Return the helm command that applies the values and keeps those of the release.

    A plain `-f` would reset every other value of the release to the chart's default.
    """
    return f"helm upgrade sizewise ./helm -n NAMESPACE --reset-then-reuse-values -f {values}"
