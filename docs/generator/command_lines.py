"""What each program's `--help` prints, subcommands included."""

import argparse
import importlib
import os
from collections.abc import Iterator, Mapping
from unittest import mock

_WIDTH = 88


class _ParserFound(Exception):
    """Carries the parser out of a program that is about to parse."""


def of_program(program: str) -> str:
    """The help of `python -m PROGRAM` and of each of its subcommands."""
    with mock.patch.dict(os.environ, COLUMNS=str(_WIDTH)):
        return "\n\n".join(_sections(parser_of(program)))


def parser_of(program: str) -> argparse.ArgumentParser:
    """The parser that `python -m PROGRAM` reads its command line with."""
    main = importlib.import_module(f"{program}.__main__").main

    def found(parser: argparse.ArgumentParser, *_: object) -> None:
        raise _ParserFound(parser)

    with mock.patch.object(argparse.ArgumentParser, "parse_args", found):
        try:
            main([])
        except _ParserFound as carrier:
            parser: argparse.ArgumentParser = carrier.args[0]
            return parser
    raise AssertionError(f"{program} has parsed no command line")


def subcommands(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """The parsers of its subcommands, by name."""
    for action in parser._actions:  # noqa: SLF001  argparse shows them nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return dict(action.choices)
    return {}


def _sections(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"```text\n{parser.format_help().strip()}\n```"
    for below in subcommands(parser).values():
        yield f"### `{below.prog}`"
        yield from _sections(below)
