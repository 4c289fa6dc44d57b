"""`python -m serving`: read the settings and serve.

It does not know how; it exits with 0, or with 2 and one sentence when it cannot start.
"""

import os
import sys
from collections.abc import Mapping

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import uvloop

from serving import processes
from serving.app import create_app
from serving.engines import ENGINES, EngineName, MakeEngine
from serving.errors import EngineFailed, StartError
from serving.listener import open_listener
from serving.logs import configure_logs, log
from serving.registry import read_registry
from serving.runtime import LocalRuntime
from serving.server import Server
from serving.service import Service
from serving.settings import Settings, read_settings

READY = """
Sizewise is ready. Try:
  curl -s http://{host}:{port}/v1/classify -H 'Content-Type: application/json' \\
    -d '{{"texts": ["A warm, funny and moving film.", "The battery died after two days."]}}'
or open http://{host}:{port}/docs
"""


def main() -> int:
    """The exit status."""
    try:
        settings, injected = read_settings(os.environ)
        configure_logs()
        if injected:
            log("ignored what Kubernetes injects for a Service", names=injected)
        serve(settings)
    except (StartError, EngineFailed) as error:
        _print(f"sizewise cannot start: {error}")
        return 2
    return 0


def serve(settings: Settings, engines: Mapping[EngineName, MakeEngine] = ENGINES) -> None:
    """Serve until a signal, in one process or in several.

    Raises StartError or EngineFailed when the models do not load.
    """

    def say_ready() -> None:
        _print(READY.format(host=settings.host, port=settings.port))

    if settings.http_processes:
        uvloop.run(processes.serve(settings, say_ready, engines))
        return
    failures: list[BaseException] = []

    def loaded(error: BaseException | None) -> None:
        if error is None:
            say_ready()
        else:
            failures.append(error)
            server.should_exit = True

    bundles = read_registry(settings.registry)
    service = Service(settings, bundles, LocalRuntime(settings, bundles, engines))
    server = Server(create_app(service, on_loaded=loaded), settings, open_listener(settings))
    server.serve_forever()
    if failures:
        raise failures[0]


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
