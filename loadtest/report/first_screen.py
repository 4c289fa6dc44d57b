"""The first screen of report.html: the verdict, the figures of the SLO and the five answers."""

import html

from loadtest.report.answers import Answer
from loadtest.report.html_parts import prose
from loadtest.report.slo_figures import SloFigure
from loadtest.report.verdict import HOW_SURE, Verdict

_HOLDS = {True: ("holds", "kept"), False: ("misses", "missed"), None: ("", "")}


def first_screen(found: Verdict) -> str:
    """Render the first screen."""
    return f"""<section class="verdict {found.certainty}"><h1>{html.escape(found.sentence)}</h1>
<p>{HOW_SURE[found.certainty]}</p></section>
<section class="tiles" aria-label="Figures">{"".join(map(_figure, found.figures))}</section>
<section class="tiles answers" aria-label="Answers">{"".join(map(_answer, found.answers))}</section>
"""


def _figure(figure: SloFigure) -> str:
    state, mark = _HOLDS[figure.holds]
    width = f"{100 * min(1.0, figure.share):.1f}%" if figure.share is not None else None
    bar = f'<div class="bar"><div style="width:{width}"></div></div>' if width else ""
    marked = f' · <span class="mark">{mark}</span>' if mark else ""
    return (
        f'<div class="tile {state}"><h2>{html.escape(figure.name)}</h2>'
        f'<p class="value">{html.escape(figure.value)}</p>{bar}'
        f"<p>{html.escape(figure.limit)}{marked}</p></div>"
    )


def _answer(answer: Answer) -> str:
    details = "".join(f"<p>{prose(each)}</p>" for each in answer.details)
    return (
        f'<div class="tile"><h2>{html.escape(answer.question)}</h2>'
        f'<p class="value">{html.escape(answer.answer.removesuffix("."))}</p>{details}</div>'
    )
