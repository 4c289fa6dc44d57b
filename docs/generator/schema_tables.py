"""A pydantic model as tables: one for each object, with type, limits, default and meaning."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from docs.generator.markdown import code, table

Schema = Mapping[str, Any]
_HEAD = ("field", "type", "limits", "default", "meaning")
_REFERENCE = "#/$defs/"
_BOUNDS = (
    ("minimum", "at least {:,}"),
    ("exclusiveMinimum", "above {:,}"),
    ("maximum", "at most {:,}"),
    ("exclusiveMaximum", "below {:,}"),
    ("minLength", "characters: {:,} or more"),
    ("maxLength", "characters: at most {:,}"),
    ("minItems", "{:,} or more"),
    ("maxItems", "at most {:,}"),
)

_PATTERNS = {
    r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$": "1 to 63 of a-z, 0-9, `.` and `-`",
    r"^[a-z0-9][a-z0-9-]{0,40}$": "1 to 41 of a-z, 0-9 and `-`",
    r"^[0-9a-f]{16}$": "16 hex digits",
    r"^[0-9a-f]{64}$": "64 hex digits",
}
"""Patterns in words; another one is shown as it is."""


def of_model(
    model: type[BaseModel],
    *,
    without: Collection[str] = (),
    heading: Callable[[str], str] = str,
    elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The model's own table, then one for each object inside it, in order of appearance.

    `without` are fields of the model that the file does not hold; `heading` makes an object's
    heading of its name; `elsewhere` has links to objects whose tables are on another page.
    """
    schema = model.model_json_schema()
    for name in without:
        del schema["properties"][name]
    tables = Tables(schema.get("$defs", {}), heading=heading, elsewhere=elsewhere)
    return f"{tables.described(schema)}\n\n{tables.inside(schema)}".strip()


class Tables:
    """Tables of JSON schemas whose references are to `definitions`."""

    def __init__(
        self,
        definitions: Schema,
        *,
        level: int = 2,
        heading: Callable[[str], str] = str,
        elsewhere: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._definitions = definitions
        self._level = level
        self._heading = heading
        self._elsewhere = elsewhere

    def inside(self, *schemas: Schema) -> str:
        """A section for each object that these refer to, in order of appearance."""
        found: list[str] = []
        for schema in schemas:
            self._find(schema, found)
        mark = "#" * self._level
        return "\n\n".join(
            f"{mark} {self._heading(name)}\n\n{self.described(self._definitions[name])}"
            for name in found
        )

    def described(self, schema: Schema) -> str:
        """One schema: its description and its fields."""
        if "properties" in schema:
            required = schema.get("required", ())
            fields = schema["properties"].items()
            rows = (self._row(name, field, required=name in required) for name, field in fields)
            content = table(_HEAD, rows)
        else:
            content = f"Type: {self._type(schema)}."
        return f"{schema.get('description', '')}\n\n{content}".strip()

    def _row(self, name: str, field: Schema, *, required: bool) -> Sequence[str]:
        if required:
            default = "required"
        elif field.get("default") in (None, [], {}):
            default = ""
        else:
            default = code(json.dumps(field["default"], ensure_ascii=False))
        limits = "; ".join(dict.fromkeys(self._limits(field)))
        return (code(name), self._type(field), limits, default, field.get("description", ""))

    def _type(self, schema: Schema) -> str:
        """In words, with a link where it is an object with a table of its own."""
        if several := _alternatives(schema):
            return " or ".join(map(self._type, several))
        if "$ref" in schema:
            return self._reference(schema["$ref"].removeprefix(_REFERENCE))
        if values := schema.get("enum", [schema["const"]] if "const" in schema else []):
            return " or ".join(map(code, values))
        return self._container(schema) or str(schema.get("type", "anything"))

    def _reference(self, name: str) -> str:
        target = self._definitions[name]
        if "properties" not in target:
            return self._type(target)
        shown = self._heading(name)
        return f"[{shown}]({self._elsewhere.get(name, '#' + shown.strip('`[]').lower())})"

    def _container(self, schema: Schema) -> str:
        if "prefixItems" in schema:
            return "[" + ", ".join(map(self._type, schema["prefixItems"])) + "]"
        if "items" in schema:
            return f"list of {self._type(schema['items'])}"
        if values := _values(schema):
            return f"object of {self._type(values)} by name"
        return ""

    def _limits(self, schema: Schema) -> Iterator[str]:
        if "$ref" in schema:
            schema = self._definitions[schema["$ref"].removeprefix(_REFERENCE)]
        if "properties" in schema:
            return
        for key, sentence in _BOUNDS:
            # The length of a pair says no more than its type.
            if key in schema and not ("prefixItems" in schema and key.endswith("Items")):
                value = schema[key]
                yield sentence.format(int(value) if value == int(value) else value)
        if "pattern" in schema:
            yield _PATTERNS.get(schema["pattern"], code(schema["pattern"]))
        items = [schema["items"]] if "items" in schema else schema.get("prefixItems", [])
        for each in (*_alternatives(schema), *items):
            yield from self._limits(each)

    def _find(self, schema: Schema, found: list[str]) -> None:
        for key, value in schema.items():
            if key == "$ref":
                name = value.removeprefix(_REFERENCE)
                if name not in found and name not in self._elsewhere:
                    if "properties" in self._definitions[name]:
                        found.append(name)
                    self._find(self._definitions[name], found)
            elif key in ("discriminator", "$defs"):
                continue
            else:
                for each in value if isinstance(value, list) else (value,):
                    if isinstance(each, Mapping):
                        self._find(each, found)


def _alternatives(schema: Schema) -> list[Schema]:
    found = schema.get("anyOf") or schema.get("oneOf") or []
    return [each for each in found if each.get("type") != "null"]


def _values(schema: Schema) -> Schema | None:
    """The schema of the values of an object whose keys are free."""
    if isinstance(found := schema.get("additionalProperties"), Mapping) and found:
        return found
    return next(iter(schema.get("patternProperties", {}).values()), None)
