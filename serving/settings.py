"""Every knob of the server: default, range, unit and meaning, read from SIZEWISE_* variables.

It does not know what the knobs are used for.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from serving.errors import StartError

PREFIX = "SIZEWISE_"
SHIPPED_REGISTRY = Path(__file__).parent.parent / "models" / "registry"

# What Kubernetes injects for a Service called sizewise or sizewise-<something>.
_INJECTED_NAME = re.compile(
    r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$"
)
_INJECTED_VALUE = re.compile(r"^(tcp|udp|sctp)://")


class Settings(BaseModel):
    """All settings; frozen once read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="TCP port to listen on.")
    registry: tuple[Path, ...] = Field(
        (SHIPPED_REGISTRY,),
        min_length=1,
        description="Folder of families, `<family>/<variant>/` bundles; or several, with commas.",
    )
    variants: tuple[str, ...] = Field(
        (), description="Names of the variants to load, with commas between; all when empty."
    )
    default_model: str = Field(
        "",
        max_length=128,
        description="Family that answers who names none; needed where there are several and a "
        "protocol cannot name one.",
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where the engine runs.")
    engine: Literal["auto", "onnxruntime", "openvino"] = Field(
        "auto",
        description="What runs the graphs; `auto` measures on this machine and takes the fastest "
        "whose answers agree with ONNX Runtime's.",
    )
    threads: int = Field(
        0, ge=0, le=1024, description="CPU cores to use; 0 takes the cgroup quota and affinity."
    )
    http_processes: int = Field(
        0,
        ge=0,
        le=256,
        description="Processes that take connections and tokenize, in front of the one with the "
        "engines; 0 does all in one process, which on few cores is the fastest.",
    )
    gpu_memory_bytes: int = Field(
        0,
        ge=0,
        le=1 << 40,
        description="Most GPU memory for each variant, in bytes; 0 sets no limit.",
    )
    grpc_port: int = Field(
        0, ge=0, le=65535, description="TCP port of the V2 protocol over gRPC; 0 has none."
    )
    admin_port: int = Field(0, ge=0, le=65535, description="TCP port of the admin API; 0 has none.")
    admin_key: SecretStr | None = Field(
        None, min_length=8, description="The admin API wants `Authorization: Bearer <key>`."
    )
    api_key: SecretStr | None = Field(
        None, min_length=8, description="When set, `/v1/*` wants `Authorization: Bearer <key>`."
    )
    callers: Path | None = Field(
        None,
        description="JSON file of callers, each with the hash of its key and its limits: "
        "`python -m serving key NAME` makes one.",
    )
    max_body_bytes: int = Field(
        1_048_576, ge=1024, le=1 << 30, description="Largest request body, in bytes."
    )
    max_texts: int = Field(256, ge=1, le=65_536, description="Most texts in one request.")
    max_text_chars: int = Field(
        20_000, ge=1, le=10_000_000, description="Longest text, in characters, before tokenization."
    )
    max_requests: int = Field(
        1024, ge=1, le=1_000_000, description="Most requests in the server at a time; then 429."
    )
    max_queue_texts: int = Field(
        2048,
        ge=1,
        le=1_000_000,
        description="Most texts of one caller that wait for one variant; then 429.",
    )
    memory_bytes: int = Field(
        0,
        ge=0,
        le=1 << 50,
        description="Most memory for loaded families, in bytes; beyond it the least recently asked "
        "are unloaded until they are asked again; 0 sets no limit.",
    )
    cache_texts: int = Field(
        0,
        ge=0,
        le=100_000_000,
        description="Most texts whose answers are kept for who asks again (some 0.5 kB each); "
        "0 keeps none.",
    )
    max_batch_tokens: int = Field(
        32_768,
        ge=16,
        le=1_048_576,
        description="Most padded tokens in one batch; the size "
        "within it is chosen by measurement at warm-up.",
    )
    default_deadline_ms: int = Field(
        10_000, ge=1, le=600_000, description="Deadline of a request that names none, in ms."
    )
    brownout_ms: int = Field(
        250,
        ge=0,
        le=600_000,
        description="Predicted wait from which on smaller variants stand in for `auto`, in ms; "
        "0 never lets them.",
    )
    max_deadline_ms: int = Field(
        60_000, ge=1, le=600_000, description="Longest deadline a request may ask for, in ms."
    )
    body_timeout_ms: int = Field(
        10_000, ge=10, le=600_000, description="Longest wait for a request's body, in ms."
    )
    engine_timeout_ms: int = Field(
        30_000,
        ge=100,
        le=600_000,
        description="A batch that runs longer marks the engine as dead, in ms.",
    )
    shutdown_delay_ms: int = Field(
        500,
        ge=0,
        le=600_000,
        description="After SIGTERM: how long readiness is false before the listener closes, in ms.",
    )
    drain_ms: int = Field(
        15_000,
        ge=100,
        le=600_000,
        description="After the listener has closed: longest wait for accepted requests, in ms.",
    )

    scan_ms: int = Field(
        5_000,
        ge=100,
        le=3_600_000,
        description="How often to look for new or changed bundles in the registry, in ms.",
    )
    trace_endpoint: str = Field(
        "",
        pattern=r"^(https?://[^/\s]+.*)?$",
        description="OpenTelemetry collector to send traces to by OTLP over HTTP, e.g. "
        "http://otel-collector:4318; none when empty. OTEL_* variables refine it.",
    )

    @field_validator("variants", "registry", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, Path):
            return (value,)
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if self.max_texts > self.max_queue_texts:
            raise ValueError("SIZEWISE_MAX_TEXTS exceeds SIZEWISE_MAX_QUEUE_TEXTS")
        if self.admin_port and self.admin_key is None:
            raise ValueError("SIZEWISE_ADMIN_PORT needs a SIZEWISE_ADMIN_KEY")
        if self.default_deadline_ms > self.max_deadline_ms:
            raise ValueError("SIZEWISE_DEFAULT_DEADLINE_MS exceeds SIZEWISE_MAX_DEADLINE_MS")
        return self


def read_settings(environ: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Settings from an environment, and the names that Kubernetes injected and that are ignored.

    Raises StartError naming the variable and what is wrong with it.
    """
    given = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
    injected = sorted(
        name
        for name, value in given.items()
        if _INJECTED_NAME.search(name) or (name.endswith("_PORT") and _INJECTED_VALUE.match(value))
    )
    values = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in given.items()
        if name not in injected
    }
    try:
        return Settings.model_validate(values), injected
    except ValidationError as error:
        raise StartError("; ".join(_sentences(error))) from error


def settings_table() -> str:
    """The settings as a Markdown table; README.md holds it and a test compares."""
    rows = ["| variable | default | range | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        bounds = {type(rule).__name__: rule for rule in field.metadata}
        choices = " \\| ".join(
            getattr(field.annotation, "__args__", ()) if name == "device" else ()
        )
        span = choices or " to ".join(
            f"{getattr(bounds[kind], kind.lower()):,}" for kind in ("Ge", "Le") if kind in bounds
        )
        default = "models/registry" if name == "registry" else field.default
        shown = "" if default in (None, ()) else f"`{default}`"
        rows.append(f"| `{PREFIX}{name.upper()}` | {shown} | {span} | {field.description} |")
    return "\n".join(rows)


def _sentences(error: ValidationError) -> Iterator[str]:
    for item in error.errors():
        if not item["loc"]:
            yield item["msg"]
            continue
        name = PREFIX + str(item["loc"][0]).upper()
        if item["type"] == "extra_forbidden":
            yield f"{name} is not a setting: README.md lists them"
        else:
            got = "" if name.endswith("_KEY") else f" (got {item['input']!r})"
            yield f"{name}: {item['msg']}{got}"
