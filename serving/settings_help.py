"""The settings as the documentation and `--help` show them."""

from textwrap import wrap
from typing import Literal, get_args, get_origin

from serving.settings import PREFIX, Settings


def settings_table() -> str:
    """Return the settings as a Markdown table, for the documentation."""
    rows = ["| variable | default | range | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        bounds = {type(rule).__name__: rule for rule in field.metadata}
        choices = " \\| ".join(
            get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        )
        span = choices or " to ".join(
            f"{getattr(bounds[kind], kind.lower()):,}" for kind in ("Ge", "Le") if kind in bounds
        )
        default = "models/registry" if name == "registry" else field.default
        shown = "" if default in (None, (), "") else f"`{default}`"
        rows.append(f"| `{PREFIX}{name.upper()}` | {shown} | {span} | {field.description} |")
    return "\n".join(rows)


def settings_list(width: int = 78) -> str:
    """Return the settings as indented lines of text, for `--help`."""
    lines = []
    for name, field in Settings.model_fields.items():
        default = "the shipped family" if name == "registry" else field.default
        shown = "" if default in (None, (), "") else f" Default: {default}."
        meaning = f"{field.description}{shown}".replace("`", "")
        lines.append(f"  {PREFIX}{name.upper()}")
        lines += wrap(meaning, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)
