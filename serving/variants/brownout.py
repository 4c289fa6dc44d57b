"""Brownout: how many options a caller's requests skip under overload. Pure."""

_RECOVERY_SHARE = 0.25
_FIRST_DELAY_S = 1.0
_MOST_DELAY_S = 30.0
_FEWEST = 1024


class Brownout:
    """Degrades at once when requests wait too long, and recovers only after a while.

    It takes a step down when the wait exceeds `limit_s`, at most one per `limit_s`, so that each
    can take effect. It takes a step up once the wait has stayed below a quarter of `limit_s` for
    the recovery delay: one second at first, doubled by each relapse up to 30 s, and reset after two
    such delays without degradation.
    """

    def __init__(self, limit_s: float) -> None:
        self.steps = 0
        """Number of preferred options that are skipped."""
        self.updated_s = float("-inf")
        self._limit_s = limit_s
        self._delay_s = _FIRST_DELAY_S
        self._changed_s = float("-inf")
        self._raised_s = float("-inf")
        self._calm_since_s: float | None = None

    def update(self, now_s: float, wait_s: float, most_steps: int) -> int:
        """Update and return the steps (0 to `most_steps`) for a request that arrives now.

        `wait_s` is its predicted wait; `now_s` never decreases.
        """
        self.updated_s = now_s
        if wait_s > self._limit_s:
            self._calm_since_s = None
            if self.steps < most_steps and now_s - self._changed_s >= self._limit_s:
                self._step_down(now_s)
        elif wait_s > self._limit_s * _RECOVERY_SHARE:
            self._calm_since_s = None
        else:
            self._calm(now_s)
        return min(self.steps, most_steps)

    def _step_down(self, now_s: float) -> None:
        if now_s - self._raised_s < 2 * self._delay_s:
            self._delay_s = min(2 * self._delay_s, _MOST_DELAY_S)
        self.steps += 1
        self._changed_s = now_s

    def _calm(self, now_s: float) -> None:
        if self._calm_since_s is None:
            self._calm_since_s = now_s
        calm_s = now_s - max(self._calm_since_s, self._changed_s)
        if self.steps and calm_s >= self._delay_s:
            self.steps -= 1
            self._changed_s = self._raised_s = now_s
        elif not self.steps and calm_s >= 2 * self._delay_s:
            self._delay_s = _FIRST_DELAY_S


class Brownouts(dict[tuple[str, int], Brownout]):
    """One for each caller and size of request. Callers come and go: unused ones are forgotten."""

    def __init__(self, limit_s: float) -> None:
        super().__init__()
        self._limit_s = limit_s
        self._most = _FEWEST

    def begin(self, whose: tuple[str, int], now_s: float) -> Brownout:
        """Make the brownout of a caller and a size that have none."""
        if len(self) >= self._most:
            until_s = now_s - 2 * _MOST_DELAY_S  # every delay has passed since
            unused = [each for each, its in self.items() if its.updated_s < until_s]
            for each in unused:
                del self[each]
            self._most = max(_FEWEST, 2 * len(self))
        brownout = self[whose] = Brownout(self._limit_s)
        return brownout
