"""Launch the server: listener, engines and HTTP, in one process or several."""

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import uvloop

from serving.background import start_short_work
from serving.descriptors import most_connections
from serving.inference.engine import EngineName
from serving.inference.engine_selection import ENGINES, MakeEngine
from serving.runtime.local import LocalRuntime
from serving.runtime.reconciler import Reconciler
from serving.runtime.service import Service
from serving.runtime.watch import watch_engines, watch_lag
from serving.server import supervisor
from serving.server.garbage import collect_seldom
from serving.server.http_server import Server, admin_server, open_app
from serving.server.listener import in_url, open_listener
from serving.settings import Settings

READY = """
Sizewise is ready. Try:
  curl -s http://{host}:{port}/v1/classify -H 'Content-Type: application/json' \\
    -d '{{"texts": ["A warm, funny and moving film.", "The battery died after two days."]}}'
or open http://{host}:{port}/docs
"""


def serve(
    settings: Settings,
    say: Callable[[str], None],
    engines: Mapping[EngineName, MakeEngine] = ENGINES,
) -> None:
    """Serve until a signal; `say` prints what to try once the server is ready.

    Raises StartError or EngineFailed if the models do not load, or nobody could connect.
    """

    def say_ready(reconciler: Reconciler) -> None:
        say(_hint(settings, reconciler))

    collect_seldom()
    most_connections(settings, admin=False)
    start_short_work()
    if settings.http_processes:
        uvloop.run(supervisor.serve(settings, say_ready, engines))
        return
    failures: list[BaseException] = []

    def loaded(error: BaseException | None) -> None:
        if error is None:
            say_ready(reconciler)
        else:
            failures.append(error)
            server.should_exit = True

    runtime = LocalRuntime(settings, engines)
    reconciler = Reconciler(settings, runtime)
    service = Service(settings, runtime)
    beside: list[Callable[[], Coroutine[Any, Any, None]]] = [
        reconciler.run,
        partial(watch_engines, runtime),
        partial(watch_lag, runtime.recorder, "http"),
    ]
    if settings.admin_port:
        admin = admin_server(settings, reconciler, runtime)
        beside.append(partial(admin.run_beside, service.stopping))
    app = open_app(service, loaded, beside)
    server = Server(app, settings, open_listener(settings.host, settings.port))
    server.serve_forever()
    if failures:
        raise failures[0]


def _hint(settings: Settings, reconciler: Reconciler) -> str:
    """Say what to try; where a request has to name a model, one that reads single texts, if any."""
    hint, served = READY.format(host=in_url(settings.host), port=settings.port), reconciler.served
    names = sorted(served.families.keys() | served.resting | served.unloaded)
    if settings.default_model or len(names) < 2:
        return hint
    manifests = [bundle.manifest for bundle in served.bundles().values()]
    reading = sorted(each.family for each in manifests if not (each.pairs or each.tensors))
    return hint.replace('"texts"', f'"model": "{[*reading, *names][0]}", "texts"')
