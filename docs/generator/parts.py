"""Every generated part of the site, by the name that pages ask for."""

from collections.abc import Callable, Mapping

from docs.generator import command_lines, http_api
from docs.generator.markdown import code, table
from docs.generator.schema_tables import of_model
from loadtest.scenario import Scenario
from models.recipe import Recipe
from serving.access.api_keys import CallersFile
from serving.bundles.bundle import Manifest
from serving.bundles.cascade import Cascade
from serving.bundles.decisions import Decisions
from serving.bundles.traffic import Policy, Traffic
from serving.bundles.windows import Windows
from serving.errors import served_errors
from serving.observability.definitions import DEFINITIONS
from serving.observability.metric_kinds import NAMESPACE
from serving.observability.metrics import Metrics
from serving.settings_help import settings_table


def errors_table() -> str:
    """Tabulate the errors that a client can get: status, code, when."""
    rows = [
        (str(error.status), code(error.code), error.__doc__ or "")
        for error in sorted(served_errors(), key=lambda error: (error.status, error.code))
    ]
    return table(("status", "code", "when"), rows)


def metrics_table() -> str:
    """Tabulate the metrics of `/metrics`: name, type, labels, meaning."""
    labels = {f"{NAMESPACE}_{each.name}": each.labels for each in DEFINITIONS}
    rows = [
        (
            code(family.name + ("_total" if family.type == "counter" else "")),
            family.type,
            ", ".join(map(code, labels.get(family.name, ()))),
            family.documentation,
        )
        for family in Metrics().registry.collect()
    ]
    return table(("metric", "type", "labels", "meaning"), rows)


def recipe_tables() -> str:
    """Tabulate a recipe's keys, one table for each section of the file."""
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
    "decisions.json": lambda: of_model(Decisions, elsewhere=http_api.ELSEWHERE),
    "traffic.json": lambda: of_model(Traffic),
    "policy.json": lambda: of_model(Policy),
    "windows.json": lambda: of_model(Windows, elsewhere=http_api.ELSEWHERE),
    "callers file": lambda: of_model(CallersFile),
    "recipe": recipe_tables,
    "scenario": lambda: of_model(Scenario),
    "sizewise": command_lines.of_sizewise,
}
