"""Writes which architectures are served as transformers answers, and why others are refused.

`python -m tests.conformance.table [--write] [ARCHITECTURE ...]`

A test keeps the page docs/reference/architectures.md true.
"""

import argparse
import multiprocessing
import os
import tempfile
from collections import Counter
from pathlib import Path

import transformers

from serving.inference.cpu import usable_cores
from serving.inference.engine_selection import ENGINES
from tests.conformance.architectures import ARCHITECTURES
from tests.conformance.judging import EQUAL, KINDS, Refused
from tests.conformance.quiet import quietly
from tests.conformance.rows import PAIRS_ARE_NOT_ADOPTED, WAYS, row_of
from tests.support.processes import ROOT

PAGE = ROOT / "docs" / "reference" / "architectures.md"
_ABOUT = """\
# Architectures

Every architecture that transformers {version} has with a `ForSequenceClassification` head: a tiny
random model of each is [imported](../guides/import.md) (exported by `torch.onnx.export`) and
[adopted](../guides/train-and-compress.md#start-from-your-own-classifier), then held to transformers
on ONNX Runtime and on OpenVINO. `python -m tests.conformance.table --write` writes this page, and
`make test` compares it with what it measures.

- **single**: tokens, logits, scores and labels of single texts and blanks, one by one.
- **pair**: the same of pairs. A recipe's texts are single, so no pair is adopted.
- **cut**: texts, and if they are imported pairs, that are longer than the model reads.
- **batch**: all of these in one batch of mixed lengths, padded.

*equal*: the same tokens, `truncated` and labels on both engines, and logits that differ by rounding
alone. In a batch, they equal transformers' logits of the text alone or of the same batch, padded by
its tokenizer. *refused*: the export, `import` or `adopt` ends with the reason, and nothing is
served. Where engines differ, the first word is for ONNX Runtime, the second for OpenVINO.

{equal} of {all} architectures are equal in every cell of import, {adopted} in every cell of adopt;
{never} are refused in every cell.

"""


def main():
    """Measure the architectures, and write the page or print its rows."""
    options = argparse.ArgumentParser(prog="python -m tests.conformance.table")
    options.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    options.add_argument("architectures", nargs="*", metavar="ARCHITECTURE")
    given = options.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with multiprocessing.get_context("spawn").Pool(usable_cores()) as pool:
        rows = pool.map(_measured, given.architectures or ARCHITECTURES, chunksize=1)
    if given.write and not given.architectures:
        PAGE.write_text(page(rows), encoding="utf-8")
        return
    for row in rows:
        print(line(row))
        print(*(f"  {'/'.join(cell)}: {outcome}" for cell, outcome in faults(row)), sep="\n")


def _measured(architecture):
    with quietly(), tempfile.TemporaryDirectory() as folder:
        return row_of(architecture, Path(folder))


def faults(row):
    """The cells that are neither equal nor refused."""
    for cell, outcome in row.cells.items():
        if outcome != EQUAL and not isinstance(outcome, Refused):
            yield cell, outcome


def page(rows):
    """The whole page."""
    cells = {row.architecture: Counter(_summary(row)) for row in rows}
    about = _ABOUT.format(
        version=transformers.__version__,
        all=len(rows),
        equal=sum(each["import", EQUAL] == len(KINDS) for each in cells.values()),
        adopted=sum(each["adopt", EQUAL] == len(KINDS) - 1 for each in cells.values()),
        never=sum({word for _, word in each} == {"refused"} for each in cells.values()),
    )
    columns = [
        "architecture",
        *(f"{way}: {kind}" for way in WAYS for kind in KINDS),
        "refused because",
    ]
    head = [_joined(columns), _joined(["---"] * len(columns))]
    return about + "\n".join([*head, *map(line, rows)]) + "\n"


def line(row):
    """One line of the page's table."""
    words = [word for _, word in _summary(row)]
    reasons = {}
    for (way, _, _), outcome in row.cells.items():
        if isinstance(outcome, Refused) and outcome != PAIRS_ARE_NOT_ADOPTED:
            reasons.setdefault(way, outcome.reason)
    told = [f"{way}: {reasons[way]}" for way in WAYS if way in reasons]
    # Most often the export is what fails, in the same words.
    why = reasons["import"] if len(set(reasons.values())) < len(reasons) else "; ".join(told)
    return _joined([f"`{row.architecture}`", *words, why.replace("|", "\\|")])


def lines_of(text):
    """The lines of a page's table, by architecture."""
    rows = [each for each in text.splitlines() if each.startswith("| `")]
    return {each.split("`")[1]: each for each in rows}


def _summary(row):
    for way in WAYS:
        for kind in KINDS:
            words = [_word(row.cells[way, kind, name]) for name in ENGINES]
            yield way, words[0] if len(set(words)) == 1 else " / ".join(words)


def _word(outcome):
    if outcome == EQUAL:
        return EQUAL
    return "refused" if isinstance(outcome, Refused) else "failing"


def _joined(cells):
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
