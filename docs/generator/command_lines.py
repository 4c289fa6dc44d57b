"""What `sizewise` prints as its help, commands and subcommands included."""

import argparse
import importlib
import os
from collections.abc import Iterator, Mapping
from unittest import mock

from serving.command import parser

_WIDTH = 88


def of_sizewise() -> str:
    """Return the help of `sizewise` and of each of its commands."""
    with mock.patch.dict(os.environ, COLUMNS=str(_WIDTH)):
        return "\n\n".join(_sections(parser(), 2))


def parser_of(program: str) -> argparse.ArgumentParser:
    """Return the parser of `sizewise` or, by its package, of `python -m PROGRAM`."""
    if program == "sizewise":
        return parser()
    found: argparse.ArgumentParser = importlib.import_module(f"{program}.__main__").parser()
    return found


def subcommands(whole: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """Return the parsers of the subcommands, by name."""
    for action in whole._actions:  # noqa: SLF001  argparse shows them nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return dict(action.choices)
    return {}


def _sections(whole: argparse.ArgumentParser, level: int) -> Iterator[str]:
    yield f"```text\n{whole.format_help().strip()}\n```"
    for below in subcommands(whole).values():
        yield f"{'#' * level} `{below.prog}`"
        yield from _sections(below, level + 1)
