"""Rated sentences as a table with a column `genre`, none of which trained the families on labels.

Of movies and products it has the test split of a build. No rating of a tweet or of the news was
ever used, but students learnt a teacher's answers to these texts; of either a sample is drawn.

    python -m models data models/recipes/sentiment/teacher-fp32.toml
    python -m tests.benchmarks.genre_texts > genres.csv
    python -m models groups sentiment --data genres.csv --groups genre
"""

import argparse
import csv
import json
import random
import sys
from pathlib import Path

from models.data.labelled import LABELS_NAME, read_labels, read_split

RATED, UNSEEN_RATINGS = ("movies", "products"), ("tweets", "news")
LEAST_RATING = 0.5
"""Nearer to 0 the recipes take no text."""


def rows_of(path: Path) -> dict[str, float]:
    """Return the ratings of the sentences in a file by their text."""
    with path.open(encoding="utf-8") as lines:
        found = (json.loads(line) for line in lines)
        return {each["text"]: each["rating"] for each in found}


def main(arguments: list[str] | None = None) -> int:
    """Write the table to standard output, and how many of each genre to standard error."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("build/sentiment/teacher-fp32/data"))
    parser.add_argument("--sentences", type=Path, default=Path("build/cache/sources/sentences"))
    parser.add_argument("--texts", type=int, default=1000, help="of tweets, and of the news")
    options = parser.parse_args(arguments)
    if not (options.data / LABELS_NAME).is_file():
        parser.error(f"{options.data} is no data folder: run the first command of --help")
    names = read_labels(options.data).names
    test = {row.text: names[row.labels[0]] for row in read_split(options.data, "test")}
    table: list[tuple[str, str, str]] = []
    for genre in RATED:
        rated = rows_of(options.sentences / f"{genre}.jsonl")
        table += [(text, label, genre) for text, label in test.items() if text in rated]
    for genre in UNSEEN_RATINGS:
        rated = rows_of(options.sentences / f"{genre}.jsonl")
        able = [text for text, rating in rated.items() if abs(rating) >= LEAST_RATING]
        chosen = random.Random(0).sample(able, min(options.texts, len(able)))
        table += [(text, "positive" if rated[text] > 0 else "negative", genre) for text in chosen]
    csv.writer(sys.stdout).writerows([("text", "label", "genre"), *table])
    for genre in (*RATED, *UNSEEN_RATINGS):
        print(genre, sum(each[2] == genre for each in table), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
