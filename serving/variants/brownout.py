"""How far down the ladder a caller's requests go while too many wait. Pure.

It does not know which variants there are, nor why texts wait.
"""

_CALM_SHARE = 0.25
_FIRST_PATIENCE_S = 1.0
_MOST_PATIENCE_S = 30.0


class Brownout:
    """A step down at once, a step up only when it has long been calm.

    A step down where the wait exceeds `limit_s`, and at most one in that time, so that it can show
    what it does. A step up once the wait was under a quarter of it for as long as patience says:
    one second at first, twice as long after each step up that did not last (30 s at most), and
    again one second after two of such calms at the top.
    """

    def __init__(self, limit_s: float) -> None:
        self.steps = 0
        """Down from what was intended."""
        self._limit_s = limit_s
        self._patience_s = _FIRST_PATIENCE_S
        self._changed_s = float("-inf")
        self._raised_s = float("-inf")
        self._calm_since_s: float | None = None

    def look(self, now_s: float, wait_s: float, most_steps: int) -> int:
        """The steps for a request that comes now, at least 0 and at most `most_steps` (>= 0).

        `wait_s` is predicted for it, `now_s` never falls.
        """
        if wait_s > self._limit_s:
            self._calm_since_s = None
            if self.steps < most_steps and now_s - self._changed_s >= self._limit_s:
                self._step_down(now_s)
        elif wait_s > self._limit_s * _CALM_SHARE:
            self._calm_since_s = None
        else:
            self._calm(now_s)
        return min(self.steps, most_steps)

    def _step_down(self, now_s: float) -> None:
        if now_s - self._raised_s < 2 * self._patience_s:
            self._patience_s = min(2 * self._patience_s, _MOST_PATIENCE_S)
        self.steps += 1
        self._changed_s = now_s

    def _calm(self, now_s: float) -> None:
        if self._calm_since_s is None:
            self._calm_since_s = now_s
        calm_s = now_s - max(self._calm_since_s, self._changed_s)
        if self.steps and calm_s >= self._patience_s:
            self.steps -= 1
            self._changed_s = self._raised_s = now_s
        elif not self.steps and calm_s >= 2 * self._patience_s:
            self._patience_s = _FIRST_PATIENCE_S
