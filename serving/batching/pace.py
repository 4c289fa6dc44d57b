"""How much slower or faster batches run than warm-up measured. Pure."""

# Exponential decay: about the last twenty batches count.
_RECENT = 0.95


class Pace:
    """The recent ratio of measured to predicted seconds, 1 at first.

    Warm-up cannot know what else will use the cores.
    """

    def __init__(self) -> None:
        self.ratio = 1.0
        self._recent_s = 0.0
        self._recent_predicted_s = 0.0
        self._beside_predicted_s = 0.0

    def count(self, predicted_s: float, seconds: float, *, beside: bool) -> None:
        """Count a batch that has ended.

        The seconds of one that ran `beside` as many others as there are slots are in theirs, so it
        counts when the next of those ends.
        """
        self._beside_predicted_s += predicted_s
        if beside:
            return
        self._recent_s = _RECENT * self._recent_s + seconds
        self._recent_predicted_s = _RECENT * self._recent_predicted_s + self._beside_predicted_s
        self._beside_predicted_s = 0.0
        if self._recent_predicted_s:
            self.ratio = self._recent_s / self._recent_predicted_s
