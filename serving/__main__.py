"""`python -m serving`: serve; `fetch`: bring a family's bundles here; `key`: make an API key.

It does not know how; it exits with 0, or with 2 and one sentence when it cannot.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from serving.errors import EngineFailed, StartError
from serving.logs import configure_logs, log
from serving.settings import read_settings


def main(arguments: list[str] | None = None) -> int:
    """The exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "fetch":
            _fetch(options)
        elif options.command == "key":
            _key(options.name)
        else:
            _serve()
    except (StartError, EngineFailed) as error:
        doing = "fetch" if options.command else "start"
        _say(f"sizewise cannot {doing}: {error}")
        return 2
    return 0


def _serve() -> None:
    from serving.launch import serve  # noqa: PLC0415  the image that fetches holds no engine

    settings, injected = read_settings(os.environ)
    configure_logs()
    if injected:
        log("ignored what Kubernetes injects for a Service", names=injected)
    serve(settings, _say)


def _fetch(options: argparse.Namespace) -> None:
    from serving.fetch import fetch  # noqa: PLC0415  the image that serves holds no fsspec

    configure_logs()
    variants = tuple(filter(None, options.variants.split(",")))
    fetch(options.url, options.to, variants=variants, cache=options.cache)


def _key(name: str) -> None:
    from serving.callers import new_key  # noqa: PLC0415

    key, entry = new_key(name)
    print(key)
    _say(
        f"Give the key above to {name}: it is kept nowhere. In SIZEWISE_CALLERS goes\n  {entry}\n"
        "and, as you like, texts_per_s, max_requests and urgency (README.md, Callers)."
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m serving",
        description="Serve the bundles of SIZEWISE_REGISTRY; README.md lists the settings.",
    )
    commands = parser.add_subparsers(dest="command", metavar="{fetch,key}")
    fetch = commands.add_parser("fetch", help="copy a family's bundles here, verified, and end")
    fetch.add_argument("url", help="the family's folder, e.g. s3://bucket/registry/sentiment")
    fetch.add_argument("--to", type=Path, required=True, help="e.g. /models/sentiment")
    fetch.add_argument("--variants", default="", help="names with commas between; else all")
    fetch.add_argument("--cache", type=Path, help="a folder that others who fetch share")
    key = commands.add_parser("key", help="make an API key, and the caller's entry for the file")
    key.add_argument("name", help="the caller's name")
    return parser


if __name__ == "__main__":
    sys.exit(main())
