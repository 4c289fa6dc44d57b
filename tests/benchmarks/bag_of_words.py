"""A known truth of `python -m models stress`: the order of words flips no answer of a bag of words.

Builds the recipe's static classifier without its products of near tokens, so that its answer is a
function of the mean of its tokens' embeddings, and stresses it on its test split. Run it in an
empty folder: all is written into build/ and reports/ there. Exit status 1 if an answer flips.
"""

import argparse
import json
import sys
from pathlib import Path

from models.__main__ import main as models
from models.training import static_classifier
from tests.support.processes import ROOT

RECIPE = ROOT / "models/recipes/sentiment-static/static-fp32.toml"
ALLOWED = "[evaluate]\nallow_below_baseline = true\n"
KINDS = ("word-order", "typos", "frames")


def main(arguments: list[str] | None = None) -> int:
    """Print what `stress` prints, and the flips by the order of words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=2023)
    options = parser.parse_args(arguments)
    static_classifier._REACH = 0
    registry = ("--registry", "build/registry")
    target = ("sentiment/static-fp32", "--texts", str(options.texts), "--queries", "0")
    recipe = Path(RECIPE.name)
    content = RECIPE.read_text(encoding="utf-8").replace(
        "../../registry", str(ROOT / "models/registry")
    )
    recipe.write_text(content + ALLOWED, encoding="utf-8")
    if models(["all", str(recipe)]) or models(["stress", *target, *registry, "--kinds", *KINDS]):
        return 2
    figures = json.loads(Path("reports/sentiment/stress.json").read_text(encoding="utf-8"))
    conditions = figures["variants"]["static-fp32"]["conditions"]
    moved = {each["strength"]: each["flips"] for each in conditions if each["kind"] == KINDS[0]}
    for strength, flips in moved.items():
        print(f"{KINDS[0]}, {strength:g}: flips {flips['value']} (at most {flips['high']})")
    return int(any(each["value"] for each in moved.values()))


if __name__ == "__main__":
    sys.exit(main())
