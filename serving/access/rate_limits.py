"""Rate limits by caller: a token bucket of texts, and a bound on concurrent requests."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from serving.errors import RateLimited, retry_after_s

# Rounding of the clock and the bucket: a caller that waits for Retry-After must not be refused.
_ROUNDING = 1e-7
_FEWEST = 1024


class Limits(NamedTuple):
    """Average texts per second, and concurrent requests; None means no limit."""

    texts_per_s: float | None = None
    max_requests: int | None = None


NO_LIMITS = Limits()


def charges_windows(charge: Callable[[int], None]) -> Callable[[int], None]:
    """Return what charges one request's windows beyond its texts before a variant runs them.

    Another variant that reads the same texts costs only the windows that it has more. `charge` is
    that of LimitUse.
    """
    charged = 0

    def charge_windows(windows: int) -> None:
        nonlocal charged
        if windows > charged:
            charge(1 + windows - charged)
            charged = windows

    return charge_windows


@dataclass(slots=True)
class _Use:
    requests: int = 0
    texts: float = 0.0
    """Texts left in the bucket; negative after a large request, until it has refilled."""
    filled_s: float = -float("inf")
    texts_per_s: float | None = None
    """The rate at which it was filled last."""


class LimitUse:
    """The usage of all callers. A bucket holds one second's worth of texts, at least one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with no usage."""
        self._clock = clock
        self._uses: dict[str, _Use] = {}
        self._most = _FEWEST

    def enter(self, caller: str, limits: Limits) -> None:
        """Admit a request of at least one text. Raises RateLimited."""
        use = self._uses.get(caller) or self._begin(caller)
        if limits.max_requests is not None and use.requests >= limits.max_requests:
            raise RateLimited(
                f"{caller} has {use.requests} requests in progress: wait for one to finish",
                field="max_requests",
                limit=limits.max_requests,
                value=use.requests + 1,
                retry_after_s=1,
            )
        if limits.texts_per_s is not None:
            self._fill(use, limits.texts_per_s)
            if use.texts < 1 - _ROUNDING:
                missing_s = (1 - use.texts) / limits.texts_per_s
                raise RateLimited(
                    f"{caller} has used up its texts per second: retry after the Retry-After delay",
                    field="texts_per_s",
                    limit=limits.texts_per_s,
                    retry_after_s=retry_after_s(missing_s),
                )
            use.texts -= 1
        use.requests += 1

    def _begin(self, caller: str) -> _Use:
        """Begin to count a caller. Callers come and go: those that are as new are forgotten."""
        if len(self._uses) >= self._most:
            self._uses = {name: use for name, use in self._uses.items() if not self._is_new(use)}
            self._most = max(_FEWEST, 2 * len(self._uses))
        use = self._uses[caller] = _Use()
        return use

    def _is_new(self, use: _Use) -> bool:
        if use.requests:
            return False
        if use.texts_per_s is None:
            return True
        filled_texts = use.texts + (self._clock() - use.filled_s) * use.texts_per_s
        return filled_texts >= max(1.0, use.texts_per_s)

    def charge(self, caller: str, texts: int) -> None:
        """Charge an admitted request for its texts (>= 1)."""
        self._uses[caller].texts -= texts - 1

    def leave(self, caller: str) -> None:
        """End an admitted request."""
        self._uses[caller].requests -= 1

    def _fill(self, use: _Use, texts_per_s: float) -> None:
        now_s = self._clock()
        most = max(1.0, texts_per_s)
        use.texts = min(most, use.texts + (now_s - use.filled_s) * texts_per_s)
        use.filled_s, use.texts_per_s = now_s, texts_per_s
