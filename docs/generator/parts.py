"""Every generated part of the site, by the name that pages ask for."""

from collections.abc import Callable, Mapping

from prometheus_client.metrics import MetricWrapperBase

from docs.generator import command_lines, http_api
from docs.generator.markdown import code, table
from docs.generator.schema_tables import of_model
from loadtest.scenario import Scenario
from models.recipe import Recipe
from serving.access.api_keys import CallersFile
from serving.bundles.bundle import Manifest
from serving.bundles.cascade import Cascade
from serving.bundles.traffic import Policy, Traffic
from serving.errors import served_errors
from serving.observability.metrics import Metrics
from serving.settings import settings_table


def errors_table() -> str:
    """Every error that a client can get: status, code, when."""
    rows = [
        (str(error.status), code(error.code), error.__doc__ or "")
        for error in sorted(served_errors(), key=lambda error: (error.status, error.code))
    ]
    return table(("status", "code", "when"), rows)


def metrics_table() -> str:
    """Every metric of `/metrics`: name, type, labels, meaning."""
    metrics = Metrics()
    # A metric that has counted nothing yet tells its labels nowhere else.
    labels = {
        each._name: each._labelnames  # noqa: SLF001
        for each in vars(metrics).values()
        if isinstance(each, MetricWrapperBase)
    }
    rows = [
        (
            code(family.name + ("_total" if family.type == "counter" else "")),
            family.type,
            ", ".join(map(code, labels.get(family.name, ()))),
            family.documentation,
        )
        for family in metrics.registry.collect()
    ]
    return table(("metric", "type", "labels", "meaning"), rows)


def recipe_tables() -> str:
    """A recipe's keys, each section of the file a table."""
    not_in_the_file = ("variant", "folder")
    return of_model(Recipe, without=not_in_the_file, heading=_section)


def _section(name: str) -> str:
    return f"`[{name.removesuffix('Section').lower()}]`"


PARTS: Mapping[str, Callable[[], str]] = {
    "settings": settings_table,
    "errors": errors_table,
    "metrics": metrics_table,
    "endpoints": http_api.endpoints,
    "native API": http_api.native,
    "admin API": http_api.admin,
    "manifest.json": lambda: of_model(Manifest),
    "cascade.json": lambda: of_model(Cascade, elsewhere=http_api.ELSEWHERE),
    "traffic.json": lambda: of_model(Traffic),
    "policy.json": lambda: of_model(Policy),
    "callers file": lambda: of_model(CallersFile),
    "recipe": recipe_tables,
    "scenario": lambda: of_model(Scenario),
    "python -m serving": lambda: command_lines.of_program("serving"),
    "python -m models": lambda: command_lines.of_program("models"),
    "python -m loadtest": lambda: command_lines.of_program("loadtest"),
}
