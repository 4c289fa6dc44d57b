"""A family that is trained in seconds, its registry and build, and logs of what its users say."""

import random
from datetime import UTC, datetime
from pathlib import Path

from models.__main__ import main
from serving.bundles.registry import read_registry
from tests.support.chinese_recipes import ADVERBS, BAD, FILMS, GOOD, write_chinese
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


def old_traffic():
    """Texts of the recipe, with the labels that they have."""
    return [
        (f"这{film}{adverb}{'不' if negated else '很'}{word}",
         "positive" if (word in GOOD) != negated else "negative")
        for film in FILMS
        for adverb in ADVERBS
        for word in (*GOOD, *BAD)
        for negated in (True, False)
    ]  # fmt: skip


def _other(label):
    return "negative" if label == "positive" else "positive"


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


def log_answers(log, variant, version, *, right, of, at_s=None):
    """Log feedback on so many answers of a version, of which so many are right, given now."""
    at_s = at_s or datetime.now(UTC).timestamp() + 1
    rows = [
        feedback_row(
            f"{variant}{version}{n}", "positive", "positive" if n < right else "negative",
            variant=variant, version=version, at_s=at_s,
        )
        for n in range(of)
    ]  # fmt: skip
    return write_log(log, [], rows)
