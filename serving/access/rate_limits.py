"""How far each caller has used up its limits: a token bucket of texts, and requests at a time.

It does not know who a caller is, nor where its request comes in.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from serving.errors import RateLimited

# Of the clock's and the bucket's floats: who comes when Retry-After says must not be refused.
_ROUNDING = 1e-7


@dataclass(frozen=True, slots=True)
class Limits:
    """Texts a second on average, and requests at a time; None is without limit."""

    texts_per_s: float | None = None
    max_requests: int | None = None

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return self.texts_per_s is not None or self.max_requests is not None


@dataclass(slots=True)
class _Use:
    requests: int = 0
    texts: float = 0.0
    """What may be sent now; below 0 after a large request, which is paid off before the next."""
    filled_s: float = -float("inf")


class LimitUse:
    """Of all callers. A bucket holds what a second brings, at least one text."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nobody has used anything."""
        self._clock = clock
        self._uses: dict[str, _Use] = {}

    def enter(self, caller: str, limits: Limits) -> None:
        """One more request comes in, of one text or more. Raises RateLimited when it may not."""
        use = self._uses.setdefault(caller, _Use())
        if limits.max_requests is not None and use.requests >= limits.max_requests:
            raise RateLimited(
                f"{use.requests} requests of {caller} are being answered: wait for one",
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
                    f"{caller} has used up its texts: see Retry-After",
                    field="texts_per_s",
                    limit=limits.texts_per_s,
                    retry_after_s=1 + int(missing_s),
                )
            use.texts -= 1
        use.requests += 1

    def charge(self, caller: str, texts: int) -> None:
        """A request that has entered has so many texts (>= 1)."""
        self._uses[caller].texts -= texts - 1

    def leave(self, caller: str) -> None:
        """A request that has entered is over."""
        self._uses[caller].requests -= 1

    def _fill(self, use: _Use, texts_per_s: float) -> None:
        now_s = self._clock()
        most = max(1.0, texts_per_s)
        use.texts = min(most, use.texts + (now_s - use.filled_s) * texts_per_s)
        use.filled_s = now_s
