"""A family that is trained in seconds, its registry and build, and logs of what its users say."""

import json
import random
from datetime import UTC, datetime
from pathlib import Path

from models.__main__ import main
from serving.bundles.registry import read_registry
from tests.support.chinese_recipes import ADVERBS, FILMS, write_chinese
from tests.support.text_logs import feedback_row, text_row, write_log

NEW_WORDS = {"棒": "positive", "烂": "negative"}
"""What users say that the recipe's texts do not."""
VARIANTS = ("static-fp32", "static-int8")


def make_family(home):
    """Make the family `tone` with recipes/, build/ and build/registry/ in the working folder."""
    write_chinese(home / "recipes")
    assert main(["all", "recipes"]) == 0


def traffic(count, seed=0):
    """Different texts with the new words, each with its label."""
    chosen = random.Random(seed)
    texts = [
        (f"这{film}{adverb}{negation}{word}{number}", label if negation == "很" else _other(label))
        for film in FILMS
        for adverb in ADVERBS
        for negation in ("很", "不")
        for number in range(10)
        for word, label in NEW_WORDS.items()
    ]
    return chosen.sample(texts, count)


def _other(label):
    return "negative" if label == "positive" else "positive"


UNLABELLED = [text for text, _ in traffic(200)[150:]]


def log_texts(log, rows, unlabelled=(), **fields):
    """Have the server's writer log texts with feedback of these labels, and texts without."""
    texts = [text_row(f"t{n}", text, 0.6, **fields) for n, (text, _) in enumerate(rows)]
    texts += [text_row(f"u{n}", text, 0.6, **fields) for n, text in enumerate(unlabelled)]
    feedback = [
        feedback_row(f"t{n}", "positive", label, **fields) for n, (_, label) in enumerate(rows)
    ]
    return write_log(log, texts, feedback)


def versions(registry=Path("build/registry")):
    """The live version of each variant."""
    return {
        each.manifest.variant: each.manifest.version for each in read_registry(registry)["tone"]
    }


def log_answers(log, variant, version, *, right, of, at_s=None, **fields):
    """Log feedback on so many answers of a version, of which so many are right, given now."""
    at_s = at_s or datetime.now(UTC).timestamp() + 1
    rows = [
        feedback_row(
            f"{variant}{version}{n}", "positive", "positive" if n < right else "negative",
            variant=variant, version=version, at_s=at_s, **fields,
        )
        for n in range(of)
    ]  # fmt: skip
    return write_log(log, [], rows)


def command(*options):
    """The arguments of the command that goes on with the family's turn."""
    return ["refresh", "tone", "--log", "log", "--recipes", "recipes", *options]


def refresh(*options):
    """Run it in the working folder; return its status."""
    return main(command(*options))


def last(home):
    """The last turn of the record."""
    record = json.loads((home / "build/refresh/tone/record.json").read_text())
    return record["turns"][-1]


def new_versions(home):
    """The versions that are tried."""
    return {name: its["canary"] for name, its in last(home)["canaries"]["versions"].items()}


def left_in(home):
    """What the turn has in its folder."""
    return {path.name for path in (home / "build/refresh/tone").iterdir()}


def give_feedback(home, right_of_new, right_of_live=150, of=200):
    """Have so many answers of each version on trial be right."""
    before = versions()
    for variant, version in new_versions(home).items():
        log_answers("log", variant, before[variant], right=right_of_live, of=of)
        log_answers("log", variant, version, right=right_of_new, of=of)
