"""What a share of the requests came to; shares are added up, and kept as JSON."""

import base64
from collections import Counter
from dataclasses import asdict, dataclass, field

MOST_FAULTS = 50
CLASSES = ("1xx", "2xx", "3xx", "4xx", "429", "503", "504", "5xx", "none")
"""Statuses by class; capacity errors that are documented stand apart, and so does no answer."""


@dataclass
class Tally:
    requests: int = 0
    """Requests sent: those that a parser recognises, and each exchange that has none."""
    answers: dict = field(default_factory=dict)
    """Answers by status."""
    malformed: int = 0
    """Answers to what is no request: the server records none."""
    unanswered: int = 0
    """Exchanges that ended without an answer, as they may."""
    hangs: int = 0
    faults: list = field(default_factory=list)

    def add(self, other):
        self.requests += other.requests
        self.malformed += other.malformed
        self.unanswered += other.unanswered
        self.hangs += other.hangs
        self.answers = dict(Counter(self.answers) + Counter(other.answers))
        self.faults = (self.faults + other.faults)[:MOST_FAULTS]

    def count(self, status):
        self.answers[str(status)] = self.answers.get(str(status), 0) + 1

    def fault(self, what, *, part, seed, number, exchange=None, answers=()):
        """Keep a fault so that it can be sent again."""
        self.hangs += what == "hang"
        if len(self.faults) >= MOST_FAULTS:
            return
        found = {"what": what, "part": part, "seed": seed, "number": number}
        if exchange is not None:
            found |= {
                "about": exchange.about,
                "then": exchange.then,
                "pause_s": exchange.pause_s,
                "parts": [base64.b64encode(each).decode() for each in exchange.parts],
                "answers": [
                    (each.head + b"\r\n" + each.content[:2000]).decode("latin-1")
                    for each in answers
                ],
            }
        self.faults.append(found)

    def by_class(self):
        """Answers by the classes of CLASSES."""
        found = dict.fromkeys(CLASSES, 0)
        for status, count in self.answers.items():
            found[status if status in found else f"{status[0]}xx"] += count
        found["none"] = self.unanswered
        return found

    def as_json(self):
        return asdict(self)
