"""Rated sentences as texts with the label that their rating says, in pools with nothing in common.

The ratings are the oracle: whoever gives feedback, or labels a text, knows them.
"""

import json
import random
from typing import NamedTuple

from models.data.splits import normalised

USUAL, SHIFTED = ("movies", "products"), ("tweets", "news")
LEAST_RATING = 0.5
"""A sentence that is rated nearer to 0 is neither."""
LABELS = ("negative", "positive")
USUAL_POOLS = {"before": 1000}
SHIFTED_POOLS = {"held_out": 1500, "alarm": 2400, "canary": 1500, "bad": 700}
"""Texts of each pool, of some more if the last group has them."""
SEED = 25


class Opinion(NamedTuple):
    """A text, its right label, and the article, product or sentence that it belongs to."""

    text: str
    label: str
    group: str


def opinions(folder, kinds):
    """The rated sentences of these kinds in a folder of tables; of equal texts the first."""
    found = {}
    for kind in kinds:
        for line in (folder / f"{kind}.jsonl").read_text(encoding="ascii").splitlines():
            row = json.loads(line)
            if abs(row["rating"]) >= LEAST_RATING:
                label = LABELS[row["rating"] > 0]
                found.setdefault(normalised(row["text"]), Opinion(row["text"], label, row["group"]))
    found.pop("", None)
    return list(found.values())


def pools(given, sizes, seed=SEED):
    """Divide by group, at random: pools of these sizes at least, and `rest`, each in random order.

    Raises ValueError if there are too few.
    """
    chosen = random.Random(seed)
    groups = {}
    for each in given:
        groups.setdefault(each.group, []).append(each)
    order = sorted(groups)
    chosen.shuffle(order)
    found = {name: [] for name in (*sizes, "rest")}
    names = iter(sizes)
    name = next(names)
    for group in order:
        while name != "rest" and len(found[name]) >= sizes[name]:
            name = next(names, "rest")
        found[name] += groups[group]
    short = [name for name, size in sizes.items() if len(found[name]) < size]
    if short:
        raise ValueError(f"too few texts for {', '.join(short)}")
    for texts in found.values():
        chosen.shuffle(texts)
    return found


def swapped(opinion):
    """The same text with the other label."""
    return opinion._replace(label=LABELS[opinion.label == LABELS[0]])


def write_table(path, given):
    """A table for recipes and commands."""
    lines = (json.dumps(each._asdict()) + "\n" for each in given)
    path.write_text("".join(lines), encoding="ascii")
    return path


def read_table(path):
    """The rows of such a table."""
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
