"""The text log: sampled texts and the feedback on them, of callers who consent.

One thread writes them in batches; whatever the store does, a request costs no more than an append.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from threading import Event, Lock, Thread
from typing import Literal, get_args

from serving.errors import StartError, own_words
from serving.feedback.log_files import KINDS, Kind, LogFile, LogFiles, Row, digest
from serving.feedback_settings import FeedbackSettings
from serving.logs import log

Outcome = Literal["written", "rate_limited", "deleted", "dropped"]
_MOST_ROWS, _MOST_CHARS = 10_000, 16 << 20
_TIDY_SHARE, _MOST_TIDY_S = 0.1, 3600.0
_LAST_S = 5.0


class TextLog:
    """Writes rows in the background, erases what is deleted, and removes what is too old."""

    def __init__(
        self, files: LogFiles, settings: FeedbackSettings, clock: Callable[[], float] = time.time
    ) -> None:
        """Start the thread."""
        self._files = files
        self._clock = clock
        self._flush_s = settings.text_log_flush_s
        self._keep_s = settings.text_log_s
        self._most_bytes = settings.text_log_bytes
        self._texts_per_s = settings.text_log_texts_per_s
        self._burst = max(1.0, self._texts_per_s)
        self._allowance, self._filled_s = self._burst, clock()
        self._lock = Lock()
        self._rows: dict[Kind, list[Row]] = {kind: [] for kind in KINDS}
        self._chars = 0
        # With zeros, so that a rate sees the first rows of each.
        self._outcomes: Counter[Outcome] = Counter(dict.fromkeys(get_args(Outcome), 0))
        self._erased: set[str] = set()
        self._tidied_s = 0.0
        self._bytes = 0
        """Of the log when it was tidied, and what this process has written since."""
        self._failing = ""
        self._wake = Event()
        self._ended = False
        self._thread = Thread(target=self._run, name="text-log", daemon=True)
        self._thread.start()

    def add_texts(self, rows: Sequence[Row]) -> None:
        """Take the texts of a request, as many as the rate allows."""
        now_s = self._clock()
        filled = self._allowance + (now_s - self._filled_s) * self._texts_per_s
        self._allowance, self._filled_s = min(self._burst, filled), now_s
        allowed = rows[: int(self._allowance)]
        self._allowance -= len(allowed)
        self._add("texts", allowed, sum(len(row["text"]) for row in allowed))
        self._count("rate_limited", len(rows) - len(allowed))

    def add_feedback(self, row: Row) -> None:
        """Take feedback."""
        self._add("feedback", [row], 0)

    def _add(self, kind: Kind, rows: Sequence[Row], chars: int) -> None:
        with self._lock:
            waiting = self._rows[kind]
            if len(waiting) + len(rows) > _MOST_ROWS or self._chars + chars > _MOST_CHARS:
                self._outcomes["dropped"] += len(rows)
                return
            waiting += rows
            self._chars += chars
            full = 2 * len(waiting) > _MOST_ROWS or 2 * self._chars > _MOST_CHARS
        if full:
            self._wake.set()

    def take_outcomes(self) -> Counter[Outcome]:
        """Return what became of rows since the last call."""
        with self._lock:
            outcomes, self._outcomes = self._outcomes, Counter()
        return outcomes

    def close(self) -> None:
        """Write what waits, for at most five seconds."""
        self._ended = True
        self._wake.set()
        self._thread.join(_LAST_S)
        if self._thread.is_alive():
            log("text log not written", reason="the store does not answer")

    def _run(self) -> None:
        while not self._ended:
            self._wake.wait(self._flush_s)
            self._wake.clear()
            self.turn()

    def turn(self) -> None:
        """Write what waits, and erase and remove what must go."""
        with self._lock:
            taken = self._rows
            self._rows, self._chars = {kind: [] for kind in KINDS}, 0
        try:
            deletions = self._files.deletions()
            for kind, rows in taken.items():
                self._write(kind, rows, deletions.keys())
                taken[kind] = []
            now_s = self._clock()
            is_due = now_s - self._tidied_s > min(_MOST_TIDY_S, _TIDY_SHARE * self._keep_s)
            if is_due or self._bytes > self._most_bytes:
                self._tidy(now_s, deletions)
                self._tidied_s = now_s
            self._erase(deletions.keys() - self._erased)
            self._erased = set(deletions)
        except Exception as error:  # noqa: BLE001  counted and logged: the store may do anything
            self._count("dropped", sum(map(len, taken.values())))
            reason = own_words(error)
            if reason != self._failing:
                log("text log not written", reason=reason)
            self._failing = reason
        else:
            self._failing = ""

    def _write(self, kind: Kind, rows: Sequence[Row], deleted: AbstractSet[str]) -> None:
        kept = [row for row in rows if _digest(row) not in deleted]
        if kept:
            self._bytes += self._files.write(kind, kept, kept[0]["time"].timestamp())
        self._count("written", len(kept))
        self._count("deleted", len(rows) - len(kept))

    def _erase(self, deleted: AbstractSet[str]) -> None:
        """Erase rows from every file. Raises StartError once it is done if some are unreadable."""
        unreadable: StartError | None = None
        for file in self._listed() if deleted else ():
            try:
                rows = self._files.read(file.name)
            except StartError as error:
                unreadable = error
                continue
            kept = [row for row in rows if _digest(row) not in deleted]
            if not kept:
                self._files.remove(file.name)
            elif len(kept) < len(rows):
                self._files.replace(file.name, kept)
            self._count("deleted", len(rows) - len(kept))
        if unreadable:
            raise unreadable

    def _tidy(self, now_s: float, deletions: Mapping[str, float]) -> None:
        """Remove what is too old, and the oldest of what is too large."""
        files = self._listed()
        size = sum(file.bytes for file in files)
        for file in files:
            if file.since_s > now_s - self._keep_s and size <= self._most_bytes:
                break
            self._files.remove(file.name)
            size -= file.bytes
        self._bytes = size
        for its_digest, asked_s in deletions.items():
            if asked_s < now_s - self._keep_s - self._flush_s:
                self._files.forget_deletion(its_digest, asked_s)

    def _listed(self) -> list[LogFile]:
        """Return all files, the oldest first."""
        files = [file for kind in KINDS for file in self._files.listed(kind)]
        return sorted(files, key=lambda file: file.since_s)

    def _count(self, outcome: Outcome, rows: int) -> None:
        if rows:
            with self._lock:
                self._outcomes[outcome] += rows


def _digest(row: Row) -> str:
    return digest(row["caller"], row["request_id"])
