"""The HorizontalPodAutoscaler's published algorithm (autoscaling/v2), with time as an argument.

From the Kubernetes documentation, "Horizontal Pod Autoscaling": *Algorithm details* (the ratio,
its tolerance, pods that are not ready, several metrics), *Scaling policies*, *Stabilization
window*, *Default behavior*.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

SYNC_S = 15.0
TOLERANCE = 0.1


@dataclass(frozen=True)
class Policy:
    """How many pods, or what percentage of them, may be added or removed within `period_s`."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_s: float

    def limit(self, start: int, sign: int) -> int:
        """Return the limit from `start` replicas; round a percentage to the larger change."""
        if self.kind == "Pods":
            return start + sign * self.value
        return start + sign * -(-start * self.value // 100)


@dataclass(frozen=True)
class Behaviour:
    """The field `behavior` of an HPA; of several policies the widest applies.

    The defaults are the chart's. Kubernetes' own default removes all surplus pods at once and never
    settles here: requests in flight fall faster than the load per replica, so the HPA overshoots. A
    tenth per minute passes through the right number on the way down.
    """

    up: tuple[Policy, ...] = (Policy("Percent", 100, 30.0), Policy("Pods", 4, 30.0))
    down: tuple[Policy, ...] = (Policy("Percent", 10, 60.0),)
    up_window_s: float = 0.0
    down_window_s: float = 300.0


def proposal(per_pod: Sequence[float], starting: int, target: float) -> int:
    """Return the replicas by one metric; `per_pod` are the ready pods' values, at least one.

    `starting` pods count as idle when scaling up and not at all otherwise. Values and target are
    rounded up to whole thousandths, as the controller does (`Quantity.MilliValue`).
    """
    thousandths = [_thousandths(value) for value in per_pod]
    current = len(per_pod) + starting
    ratio = sum(thousandths) / (len(per_pod) * _thousandths(target))
    if ratio > 1.0 and starting:
        damped = sum(thousandths) / (current * _thousandths(target))
        return current if damped <= 1.0 + TOLERANCE else math.ceil(damped * current - 1e-9)
    if abs(ratio - 1.0) <= TOLERANCE + 1e-9:
        return current
    return math.ceil(ratio * len(per_pod) - 1e-9)


def _thousandths(value: float) -> int:
    return math.ceil(value * 1e3 - 1e-6)


@dataclass
class Autoscaler:
    """One HPA with its history of recommendations and scaling."""

    smallest: int
    largest: int
    behaviour: Behaviour = field(default_factory=Behaviour)
    recommended: list[tuple[float, int]] = field(default_factory=list)
    scaled: list[tuple[float, int]] = field(default_factory=list)

    def replicas(self, now_s: float, current: int, proposals: Sequence[int]) -> int:
        """Return the replicas from `now_s` on, and record the change as done."""
        wanted = self._stable(now_s, current, max(proposals))
        rules = self.behaviour
        if wanted > current:
            wanted = min(wanted, max(self._limits(now_s, current, rules.up, +1)))
        elif wanted < current:
            wanted = max(wanted, min(self._limits(now_s, current, rules.down, -1)))
        wanted = max(self.smallest, min(self.largest, wanted))
        if wanted != current:
            self.scaled.append((now_s, wanted - current))
        return wanted

    def _stable(self, now_s: float, current: int, recommended: int) -> int:
        """Keep `current` within the recommendations of the stabilization windows."""
        rules = self.behaviour
        least = min([recommended, *self._since(now_s - rules.up_window_s)])
        most = max([recommended, *self._since(now_s - rules.down_window_s)])
        self.recommended.append((now_s, recommended))
        return min(max(current, least), most)

    def _since(self, at_s: float) -> list[int]:
        return [replicas for then_s, replicas in self.recommended if then_s > at_s]

    def _limits(
        self, now_s: float, current: int, policies: Sequence[Policy], sign: int
    ) -> list[int]:
        """Return each policy's limit, counted from the replicas at the start of its period."""
        limits = []
        for policy in policies:
            recent = sum(change for at_s, change in self.scaled if now_s - at_s < policy.period_s)
            limit = policy.limit(current - recent, sign)
            limits.append(sign * max(sign * limit, sign * current))
        return limits
