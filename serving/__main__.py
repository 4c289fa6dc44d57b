"""`python -m serving`: read the settings and serve.

It does not know how; it exits with 0, or with 2 and one sentence when it cannot start.
"""

import os
import sys

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from serving.app import create_app
from serving.errors import StartError
from serving.logs import configure_logs, log
from serving.server import Server
from serving.settings import read_settings

READY = """
Sizewise is ready. Try:
  curl -s http://{host}:{port}/v1/classify -H 'Content-Type: application/json' \\
    -d '{{"texts": ["A warm, funny and moving film.", "The battery died after two days."]}}'
or open http://{host}:{port}/docs
"""


def main() -> int:
    """The exit status."""
    failures: list[BaseException] = []

    def loaded(error: BaseException | None) -> None:
        if error is None:
            _print(READY.format(host=settings.host, port=settings.port))
        else:
            failures.append(error)
            server.should_exit = True

    try:
        settings, injected = read_settings(os.environ)
        configure_logs()
        if injected:
            log("ignored what Kubernetes injects for a Service", names=injected)
        server = Server(create_app(settings, on_loaded=loaded), settings)
    except StartError as error:
        return _cannot_start(error)
    server.serve_forever()
    return _cannot_start(failures[0]) if failures else 0


def _cannot_start(reason: object) -> int:
    _print(f"sizewise cannot start: {reason}")
    return 2


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
