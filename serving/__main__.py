"""`python -m serving`: serve, fetch or tune bundles, classify texts, or make an API key.

The parsers are light, so that `--help` needs no optional package; what a command runs is imported
when it is called.
"""

import argparse
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# gRPC's core logs what clients send, past the log's JSON.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from serving.errors import EngineFailed, StartError
from serving.extras import optional_packages
from serving.interrupts import interruptible
from serving.logs import ERR, OUT, configure_logs, log
from serving.process_exit import end
from serving.settings import PREFIX, read_settings
from serving.settings_help import settings_list

_FLAGS = ("registry", "host", "port", "device")
_FLUSH_S = 2.0
_STOPPED = b"\nStopped. Run the same command again, without --restart, to continue.\n"
_EPILOG = """\
The default command is `serve`; its flags can be given without it.

exit status:
  0 on success
  2 with one sentence on stderr when a command cannot be run
  `classify` also exits with 1 when no text could be classified, and with 128 plus the signal's
  number when it was stopped
"""
_SERVE_EPILOG = """\
examples:
  {prog} serve
  {prog} serve --registry build/registry --port 9000
  SIZEWISE_HTTP_PROCESSES=2 {prog} serve --host 0.0.0.0

exit status:
  0 after SIGTERM, SIGHUP or Ctrl-C, once all accepted requests are answered
  2 with one sentence on stderr when the server cannot start, or an engine has failed

settings, all of them environment variables (a flag takes precedence over its variable):
{settings}
"""
_FETCH_EPILOG = """\
examples:
  {prog} fetch s3://bucket/registry/sentiment --to models/sentiment
  {prog} fetch hf://datasets/team/registry/sentiment --to models/sentiment --every-s 60

exit status:
  0 when the family has been copied, or SIGTERM has ended --every-s
  2 with one sentence on stderr when it cannot be read, or is broken
"""
_TUNE_EPILOG = "example:\n  SIZEWISE_TUNING=tuning {prog} tune --registry build/registry\n"
_CLASSIFY_EPILOG = """\
examples:
  {prog} classify --input reviews.csv --output classified.csv
  {prog} classify --input pairs.jsonl --output classified.jsonl --text-pair answer

exit status:
  0 when the output has been written
  1 when it has been written, but no text could be classified
  2 with one sentence on stderr when the job cannot be run
  128 plus the signal's number when it was stopped; run the same command again to continue
"""
_KEY_EPILOG = "example:\n  {prog} key search-team\n"


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given or (given[0].startswith("-") and given[0] not in {"-h", "--help"}):
        given = ["serve", *given]
    return run(parser().parse_args(given))


def run(options: argparse.Namespace) -> int:
    """Run what the parser has read and return the exit status."""
    try:
        with optional_packages():
            return _RUNS[options.command](options) or 0
    except (StartError, EngineFailed) as error:
        OUT.end(_FLUSH_S)  # so that the reason is the last line of both
        _say(f"sizewise {_failed(options.command, error)}: {_by_flag(str(error), _flags(options))}")
        return 2


def _failed(command: str, error: StartError | EngineFailed) -> str:
    if command != "serve":
        return f"cannot {command}"
    return "cannot start" if isinstance(error, StartError) else "has ended"


def _by_flag(sentence: str, flags: Iterable[str]) -> str:
    """Name a setting by the flag that gave it, instead of by its variable."""
    for name in flags:
        sentence = re.sub(rf"\b{PREFIX}{name.upper()}\b", f"--{name}", sentence)
    return sentence


def parser(prog: str = "python -m serving") -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    whole = argparse.ArgumentParser(
        prog,
        description="Serve bundles over HTTP, copy or tune them, classify files, make API keys.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_commands(whole.add_subparsers(dest="command", metavar="COMMAND"), prog)
    return whole


def add_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", prog: str
) -> None:
    """Add the parser of each command to a program called `prog`."""

    def add(name: str, does: str, epilog: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=does,
            description=f"{does[0].upper()}{does[1:]}.",
            epilog=epilog.format(prog=prog, settings=settings_list()),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    _add_serve(add("serve", "serve the bundles of a registry over HTTP", _SERVE_EPILOG))
    _add_fetch(add("fetch", "copy a family's bundles here, verified", _FETCH_EPILOG))
    _add_classify(add("classify", "classify a file of texts of any size", _CLASSIFY_EPILOG))
    tune = add("tune", "measure bundles before a server's start", _TUNE_EPILOG)
    _add_registry_and_device(tune)
    tune.add_argument("--config-map", metavar="NAME", help="in a pod: share the results in it")
    key = add("key", "make an API key and its caller's entry for the callers file", _KEY_EPILOG)
    key.add_argument("name", help="the caller's name")


def _add_serve(serve: argparse.ArgumentParser) -> None:
    _add_registry_and_device(serve)
    serve.add_argument("--host", help="address to listen on; default: 127.0.0.1")
    serve.add_argument("--port", help="TCP port to listen on; default: 8000")


def _add_registry_and_device(command: argparse.ArgumentParser) -> None:
    """Add flags without a type: the settings check their values and name the flag."""
    command.add_argument(
        "--registry",
        metavar="FOLDER",
        help="folder of families; default: the sentiment family of this package",
    )
    command.add_argument("--device", metavar="{cpu,cuda}", help="where the engine runs")


def _add_fetch(fetch: argparse.ArgumentParser) -> None:
    fetch.add_argument("url", help="the family's folder, e.g. s3://bucket/registry/sentiment")
    fetch.add_argument("--to", type=Path, required=True, help="e.g. /models/sentiment")
    fetch.add_argument("--variants", default="", help="names, separated by commas; default: all")
    fetch.add_argument("--cache", type=Path, help="a folder to share downloads with others")
    fetch.add_argument(
        "--trusted-keys", type=Path, metavar="PATH",
        help="only what one of these public keys has signed; default: SIZEWISE_TRUSTED_KEYS",
    )  # fmt: skip
    fetch.add_argument("--every-s", type=_seconds, help="look again every so many seconds")


def _add_classify(classify: argparse.ArgumentParser) -> None:
    classify.add_argument("--input", type=Path, required=True, help=".csv, .jsonl or .parquet")
    classify.add_argument("--output", type=Path, required=True, help="of the same format")
    classify.add_argument("--text", default="text", metavar="COLUMN", help="default: text")
    classify.add_argument("--text-pair", metavar="COLUMN", help="the second text, for pairs")
    _add_registry_and_device(classify)
    classify.add_argument("--model", help="the family, where the registry holds several")
    classify.add_argument("--variant", default="auto", help="default: the most accurate one")
    long = classify.add_mutually_exclusive_group()
    long.add_argument(
        "--long", choices=("refuse", "truncate", "windows"),
        help="what becomes of texts that are too long; default: as in windows.json, or refuse",
    )  # fmt: skip
    long.add_argument("--truncate", action="store_const", const="truncate", dest="long")
    classify.add_argument("--prefix", default="", help="put before the names of added columns")
    classify.add_argument("--restart", action="store_true", help="discard what a stopped run has")


def _serve(options: argparse.Namespace) -> None:
    flags = _flags(options)
    settings, injected = read_settings(os.environ, flags)
    configure_logs(shared=settings.http_processes > 0)
    with interruptible():
        from serving.server.launch import serve  # noqa: PLC0415

    # The HTTP processes read the environment that they inherit.
    os.environ.update({PREFIX + name.upper(): value for name, value in flags.items()})
    if injected:
        log("ignored what Kubernetes injects for a Service", names=injected)
    serve(settings, _say)


def _fetch(options: argparse.Namespace) -> None:
    from serving.bundles.fetch import fetch, follow  # noqa: PLC0415
    from serving.bundles.signatures import TRUSTED_KEYS, read_trusted_keys  # noqa: PLC0415

    configure_logs()
    keys = options.trusted_keys or os.environ.get(TRUSTED_KEYS)
    what = {
        "variants": tuple(filter(None, options.variants.split(","))),
        "cache": options.cache,
        "trusted": read_trusted_keys(
            Path(keys) if keys else None,
            "--trusted-keys" if options.trusted_keys else TRUSTED_KEYS,
        ),
    }
    if options.every_s is None:
        fetch(options.url, options.to, **what)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        follow(options.url, options.to, options.every_s, **what)


def _classify(options: argparse.Namespace) -> int:
    settings, _ = read_settings(os.environ, _flags(options))
    with interruptible():
        from serving.offline.job import Job, classify  # noqa: PLC0415

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        # Finished parts are whole on disk. An exception here could leave a lock of the standard
        # library held, and the threads that wait for it would keep the process alive.
        os.write(sys.stderr.fileno(), _STOPPED)
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    job = Job(
        options.input, options.output, options.text, options.text_pair, options.model,
        options.variant, options.long, options.prefix,
    )  # fmt: skip
    try:
        return int(not classify(job, settings, sys.stderr, restart=options.restart))
    except OSError as error:
        raise StartError(f"{error}: fix this and run the same command again") from error


def _tune(options: argparse.Namespace) -> None:
    settings, _ = read_settings(os.environ, _flags(options))
    with interruptible():
        from serving.runtime.config_map import SERVICE_ACCOUNT, config_map  # noqa: PLC0415
        from serving.runtime.tuner import tune  # noqa: PLC0415
    name = options.config_map
    shared = None if name is None else config_map(name, os.environ, SERVICE_ACCOUNT)
    tune(settings, sys.stderr, sys.stdout, shared)


def _key(options: argparse.Namespace) -> None:
    from serving.access.api_keys import new_key  # noqa: PLC0415

    key, entry = new_key(options.name)
    print(key)
    _say(
        f"Give the key above to {options.name}; it is not stored anywhere. Add this entry to the "
        f"file that SIZEWISE_CALLERS names:\n  {entry}\n"
        "Optional fields of an entry: texts_per_s, max_requests, urgency and text_log."
    )


_RUNS: Mapping[str, Callable[[argparse.Namespace], int | None]] = {
    "serve": _serve, "fetch": _fetch, "classify": _classify, "tune": _tune, "key": _key,
}  # fmt: skip


def _flags(options: argparse.Namespace) -> dict[str, str]:
    """Return the settings that were given as flags."""
    given = {name: getattr(options, name, None) for name in _FLAGS}
    return {name: value for name, value in given.items() if value is not None}


def _say(text: str) -> None:
    ERR.write([text])


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text} must be a number from 1 to 86,400")
    return value


if __name__ == "__main__":
    end(main())
