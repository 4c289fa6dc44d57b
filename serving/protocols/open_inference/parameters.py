"""The parameters of the Open Inference Protocol V2: names with numbers, flags and strings."""

from collections.abc import Collection, Mapping
from typing import Any, cast, get_args

from serving.bundles.windows import Long
from serving.errors import InvalidField


def check_parameters(parameters: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Raise InvalidField for a parameter that is not known; `where` is the tensor's field."""
    for name in parameters:
        if name not in known:
            raise InvalidField(f"Unknown parameter {name!r}", field=f"{where}.parameters.{name}")


def integer(parameters: Mapping[str, Any], name: str) -> int:
    """Return a number, 0 without one. Raises InvalidField."""
    value = parameters.get(name, 0)
    if type(value) is not int or value < 0:
        raise InvalidField(
            f"{name} must be a whole number of 0 or more", field=f"parameters.{name}", value=value
        )
    return value


def long_of(parameters: Mapping[str, Any]) -> Long | None:
    """Return what becomes of long texts, None if nothing is said of it. Raises InvalidField."""
    long = parameters.get("long")
    if long not in (None, *get_args(Long)):
        raise InvalidField(
            f"long must be one of {', '.join(get_args(Long))}",
            field="parameters.long",
            limit=list(get_args(Long)),
            value=long,
        )
    if not flag(parameters, "truncate", default=False):
        return cast("Long | None", long)
    if long not in (None, "truncate"):
        raise InvalidField(
            "truncate says the same as long: send one of them", field="parameters.long", value=long
        )
    return "truncate"


def flag(parameters: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """Return a flag. Raises InvalidField."""
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidField(f"{name} must be true or false", field=f"parameters.{name}", value=value)
    return value
