"""The steps of the loop, each of which returns its figures."""

import random

from tests.benchmarks.refresh_loop import labelling, texts
from tests.benchmarks.refresh_loop.family import alarms

A_LOOK, A_START = 200, 400
"""Requests between two looks at the log, and between two starts of `models refresh`."""
MOST_STARTS = 30
_LABELLED, _SWAPPED = "labelled.jsonl", "swapped.jsonl"
WEIGHT, MARGIN, CONFIDENCE = 0.5, 0.02, 0.95


class Loop:
    """One family, its server and its caller."""

    def __init__(self, place, pools, caller, seeds):
        self.place, self.pools, self.caller, self.seeds = place, pools, caller, seeds
        self._oracle = {
            each.text: each for name, its in pools.items() if name != "held_out" for each in its
        }

    def accuracies(self):
        """What the server gets right now, of shifted texts and of the family's test split."""
        sets = {"held_out": self.pools["held_out"], "test_split": self.place.test_split()}
        return {name: self.caller.accuracy(its) for name, its in sets.items()}

    def before(self):
        """Traffic as the training texts, and what the log says of it."""
        answers, looks = [], []
        for part in parts(self.pools["before"]):
            answers += self.caller.send(part, "before", len(answers))
            looks.append(self.place.look())
        return {"answers": answers, "looks": looks, "alarms": sum(map(alarms, looks))}

    def alarm(self):
        """Other traffic, and after how much of it the log says that something is wrong."""
        answers, looks, fed = [], [], None
        for part in parts(self.pools["alarm"]):
            answers += self.caller.send(part, "alarm", len(answers))
            if fed is None:
                looks.append(self.place.look())
                if alarms(looks[-1]):
                    fed = {"answers": len(answers), "feedback": sum(each[2] for each in answers)}
        return {"answers": answers, "looks": looks, "alarm": fed}

    def labelling(self):
        """200 texts that the log's report chooses, against 200 at random."""
        self.place.look(exported=100_000)
        ranking = labelling.ranked(self.place.worth_labelling)
        shifted = {each.text for each in self.pools["alarm"]}
        found = labelling.compare(
            self.place, ranking, self._oracle, self.pools["held_out"], self.seeds
        )
        return found | {"shifted": labelling.shares(ranking, self.seeds, shifted)}

    def refresh(self):
        """New versions, of the log's feedback and of 200 texts that its report chooses."""
        self.place.look(exported=labelling.LABELLED)
        self._write(_LABELLED, [self._oracle[text] for text in self._worth_labelling()])
        return self._refresh([_LABELLED])

    def canary(self):
        """Traffic with feedback until the new versions are promoted or withdrawn."""
        return self._watch("canary", [_LABELLED])

    def poison(self):
        """The texts of all traffic so far come back with the wrong labels; the gate is closed.

        Texts whose feedback contradicts that are left out by both.
        """
        known = {row["text"] for row in texts.read_table(self.place.folder / _LABELLED)}
        sent = [each for name in ("before", "alarm", "canary") for each in self.pools[name]]
        self._write(_SWAPPED, [texts.swapped(each) for each in sent if each.text not in known])
        return self._refresh([_LABELLED, _SWAPPED])

    def poison_past_the_gate(self):
        """Go on with the gate open; if nothing was refused, that only looks at the canary."""
        return self._refresh([_LABELLED, _SWAPPED], least=0)

    def bad_canary(self):
        """Traffic with feedback until the bad versions are withdrawn, or promoted."""
        return self._watch("bad", [_LABELLED, _SWAPPED], least=0)

    def _worth_labelling(self):
        return labelling.ranked(self.place.worth_labelling)

    def _write(self, table, opinions):
        texts.write_table(self.place.folder / table, opinions)

    def _refresh(self, tables, **recipes):
        """Go on with the turn while the server is asked, until it follows the registry."""
        with self.caller.asking(self.pools["held_out"]):
            told = self.place.refresh(
                "--labelled", *tables, "--recipes", self.place.recipes(**recipes), "--weight",
                WEIGHT, "--margin", MARGIN, "--confidence", CONFIDENCE,
            )  # fmt: skip
            self.caller.wait_until_served(self.place.versions())
        return told

    def _watch(self, pool, tables, **recipes):
        answers, looks = [], [self.place.turn()]
        while not looks[-1]["outcome"] and len(looks) <= MOST_STARTS:
            drawn = random.Random(len(looks)).choices(self.pools[pool], k=A_START)
            answers += self.caller.send(drawn, pool, len(answers))
            looks.append(self._refresh(tables, **recipes))
        return {"answers": answers, "looks": looks, "outcome": looks[-1]["outcome"]}


def parts(pool):
    """The texts between two looks."""
    return [pool[at : at + A_LOOK] for at in range(0, len(pool), A_LOOK)]
