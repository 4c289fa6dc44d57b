"""`python -m serving`: serve; or `fetch` bundles, `classify` a file of texts, make a `key`.

It does not know how; it exits with 0, or with 2 and one sentence when it cannot. `classify` exits
with 1 when no text could be classified, and with 128 and the signal's number when it is stopped.
"""

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from serving.errors import EngineFailed, StartError
from serving.logs import configure_logs, log
from serving.settings import read_settings


def main(arguments: list[str] | None = None) -> int:
    """The exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "classify":
            return _classify(options)
        if options.command == "fetch":
            _fetch(options)
        elif options.command == "key":
            _key(options.name)
        else:
            _serve()
    except (StartError, EngineFailed) as error:
        _say(f"sizewise cannot {options.command or 'start'}: {error}")
        return 2
    return 0


def _serve() -> None:
    from serving.server.launch import serve  # noqa: PLC0415  the image that fetches holds no engine

    settings, injected = read_settings(os.environ)
    configure_logs()
    if injected:
        log("ignored what Kubernetes injects for a Service", names=injected)
    serve(settings, _say)


def _fetch(options: argparse.Namespace) -> None:
    from serving.bundles.fetch import fetch, follow  # noqa: PLC0415  the image that serves has no fsspec

    configure_logs()
    what = {
        "variants": tuple(filter(None, options.variants.split(","))),
        "cache": options.cache,
    }
    if options.every_s is None:
        fetch(options.url, options.to, **what)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        follow(options.url, options.to, options.every_s, **what)


def _classify(options: argparse.Namespace) -> int:
    from serving.offline.job import Job, Stopped, classify  # noqa: PLC0415  as above

    stopped_by = 0

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        nonlocal stopped_by
        stopped_by = number
        # A second one ends it at once.
        signal.signal(number, signal.SIG_DFL)
        raise Stopped

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    registry = {"SIZEWISE_REGISTRY": str(options.registry)} if options.registry else {}
    settings, _ = read_settings(os.environ | registry)
    job = Job(
        options.input, options.output, options.text, options.text_pair, options.model,
        options.variant, options.truncate, options.prefix,
    )  # fmt: skip
    try:
        return int(not classify(job, settings, sys.stderr, restart=options.restart))
    except OSError as error:
        raise StartError(f"{error}: mend that and run the same command again") from error
    except Stopped:
        _say("\nStopped. Run the same command again, without --restart, to go on from here.")
        return 128 + stopped_by


def _key(name: str) -> None:
    from serving.access.api_keys import new_key  # noqa: PLC0415

    key, entry = new_key(name)
    print(key)
    _say(
        f"Give the key above to {name}: it is kept nowhere. In SIZEWISE_CALLERS goes\n  {entry}\n"
        "and, as you like, texts_per_s, max_requests and urgency (README.md, Callers)."
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _seconds(text: str) -> float:
    if not 1 <= (value := float(text)) <= 86_400:
        raise argparse.ArgumentTypeError("from 1 to 86,400")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m serving",
        description="Serve the bundles of SIZEWISE_REGISTRY; README.md lists the settings.",
    )
    commands = parser.add_subparsers(dest="command", metavar="{fetch,classify,key}")
    fetch = commands.add_parser("fetch", help="copy a family's bundles here, verified")
    fetch.add_argument("url", help="the family's folder, e.g. s3://bucket/registry/sentiment")
    fetch.add_argument("--to", type=Path, required=True, help="e.g. /models/sentiment")
    fetch.add_argument("--variants", default="", help="names with commas between; else all")
    fetch.add_argument("--cache", type=Path, help="a folder that others who fetch share")
    fetch.add_argument("--every-s", type=_seconds, help="go on: look again after so many seconds")
    classify = commands.add_parser("classify", help="classify a file of texts, and go on if killed")
    classify.add_argument("--input", type=Path, required=True, help=".csv, .jsonl or .parquet")
    classify.add_argument("--output", type=Path, required=True, help="of the same format")
    classify.add_argument("--text", default="text", metavar="COLUMN", help="default: text")
    classify.add_argument("--text-pair", metavar="COLUMN", help="the second text, for pairs")
    classify.add_argument("--registry", type=Path, help="in place of SIZEWISE_REGISTRY")
    classify.add_argument("--model", help="the family, where the registry holds several")
    classify.add_argument("--variant", default="auto", help="default: the most accurate one")
    classify.add_argument("--truncate", action="store_true", help="cut texts that are too long")
    classify.add_argument("--prefix", default="", help="put before the names of added columns")
    classify.add_argument("--restart", action="store_true", help="drop what a stopped run has done")
    key = commands.add_parser("key", help="make an API key, and the caller's entry for the file")
    key.add_argument("name", help="the caller's name")
    return parser


if __name__ == "__main__":
    sys.exit(main())
