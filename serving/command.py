"""`sizewise`: the command that the wheel installs, one name for all three programs.

It finds `models` and `loadtest` by name when they are called: no program imports another, and a
command loads only what it runs.
"""

import argparse
import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from serving.interrupts import end_as_interrupted, interruptible
from serving.process_exit import end

_PROGRAMS = {
    "models": "train, compress and import models, calibrate cascades, choose thresholds",
    "loadtest": "measure a server, and recommend what to deploy",
}
_SHELLS = ("bash", "zsh")
_EPILOG = """\
examples:
  sizewise serve                              serve the sentiment family of this package
  sizewise serve --registry build/registry    serve your own
  sizewise models all                         build the sentiment family from its recipes
  sizewise loadtest run                       measure it, and write reports/
  sizewise COMMAND --help                     more about one command

exit status:
  0 on success, 2 with one sentence on stderr when a command cannot be run
  the help of `classify` and `loadtest` explains 1 and 3

shell completion:
  eval "$(sizewise --print-completion bash)"       in ~/.bashrc
  sizewise --print-completion zsh > DIR/_sizewise  with DIR in zsh's $fpath
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status; Ctrl-C ends it by that signal."""
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        end_as_interrupted()
        raise


def _run(given: list[str]) -> int:
    if given and given[0] in _PROGRAMS:
        status: int = _program(given[0]).main(given[1:], f"sizewise {given[0]}")
        return status
    whole = parser()
    if not given:
        whole.print_help(sys.stderr)
        return 2
    options = whole.parse_args(given)
    if options.print_completion:
        print(_completion(whole, options.print_completion))
        return 0
    if options.version:
        print(version("sizewise"))
        return 0
    if options.command is None:
        whole.error("name a COMMAND")
    return int(_program("serving").run(options))


def parser() -> argparse.ArgumentParser:
    """Return the parser of every command of every program."""
    whole = argparse.ArgumentParser(
        "sizewise",
        description="Serve text classifiers, make them, and measure which size to deploy.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="store_true", help="print the version")
    whole.add_argument(
        "--print-completion", choices=_SHELLS, help="print what completes commands in your shell"
    )
    commands = whole.add_subparsers(dest="command", metavar="COMMAND")
    _program("serving").add_commands(commands, "sizewise")
    for name, does in _PROGRAMS.items():
        program = _program(name).parser(f"sizewise {name}")
        commands.add_parser(
            name, help=does, parents=[program], add_help=False, description=program.description,
            epilog=program.epilog, formatter_class=program.formatter_class,
        )  # fmt: skip
    return whole


def _program(name: str) -> Any:
    with interruptible():
        return importlib.import_module(f"{name}.__main__")


def _completion(whole: argparse.ArgumentParser, shell: str) -> str:
    """Return a static script, so that completing a word starts no Python."""
    import shtab  # noqa: PLC0415  only this needs it

    for action in _actions(whole):
        words = str(action.metavar)
        if action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif words == "FOLDER":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif words.startswith("{"):
            # As choices they would be checked by argparse, in words that name no variable.
            action.choices = words.strip("{}").split(",")
    return shtab.complete(whole, shell)


def _actions(one: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of its commands, which argparse lists nowhere."""
    for action in one._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for command in action.choices.values():
                yield from _actions(command)
        else:
            yield action


def script() -> NoReturn:
    """Run the command `sizewise`."""
    end(main())


if __name__ == "__main__":
    script()
