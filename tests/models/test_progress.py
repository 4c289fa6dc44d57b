from tests.support.terminals import said

STEPS = """
import time
from models.progress import progress
for _ in progress(range(200), does="training", units="batches"):
    time.sleep(0.005)
"""
BY_HAND = """
from models import progress
progress._LINE_EVERY_S = 0.0
with progress.progress(total=3, does="cost", units="measurements") as bar:
    for _ in range(3):
        bar.update()
    for _ in progress.progress(range(2), does="part", units="runs"):
        pass
"""
A_LIBRARY = """
import sys
from models.__main__ import main
assert main(["report", "nothing", "--registry", "/nowhere"]) == 2
from tqdm.auto import tqdm
for _ in tqdm(range(3), desc="a library's bar"):
    pass
"""


def test_on_a_terminal_a_bar_changes_in_place():
    bar = said(STEPS, terminal=True)

    assert bar.count("\r") > 5
    assert bar.count("\n") == 1
    assert "200/200" in bar


def test_without_a_terminal_a_short_stage_says_nothing():
    assert said(STEPS, terminal=False) == ""


def test_without_a_terminal_a_long_stage_prints_whole_lines_on_its_way():
    lines = said(BY_HAND, terminal=False).splitlines()

    assert [line.partition(",")[0] for line in lines] == [
        *(f"cost: {done} of 3 measurements" for done in range(4)),
        *(f"part: {done} of 2 runs" for done in (0, 1, 2, 2)),
        "cost: 3 of 3 measurements",
    ]


def test_without_a_terminal_no_library_draws_a_bar_either():
    assert "a library's bar" in said(A_LIBRARY, terminal=True)
    assert "a library's bar" not in said(A_LIBRARY, terminal=False)
