from tests.support.terminals import said

PHASES = """
from loadtest.progress import progress
with progress(2, "phases") as bar:
    for number in range(2):
        bar.set_postfix_str(f"small, closed, round {number + 1}")
        bar.update()
"""


def test_without_a_terminal_each_phase_is_a_line():
    lines = said(PHASES, terminal=False)

    assert "\r" not in lines
    assert "1 of 2 phases, 00:00 left, small, closed, round 2" in lines.splitlines()
    assert lines.splitlines()[-1].startswith("2 of 2 phases, ")


def test_on_a_terminal_it_is_a_bar():
    bar = said(PHASES, terminal=True)

    assert bar.count("\n") == 1
    assert "\r" in bar
