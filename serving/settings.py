"""The server's settings: default, range, unit and meaning, read from SIZEWISE_* variables."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self

from pydantic import (
    BaseModel,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from serving.errors import StartError
from serving.ext_proc_settings import ExtProcSettings
from serving.feedback_settings import FeedbackSettings

PREFIX = "SIZEWISE_"
SHIPPED_REGISTRY = Path(__file__).parent.parent / "models" / "registry"

# What Kubernetes injects for a Service called sizewise or sizewise-<something>.
_INJECTED_NAME = re.compile(
    r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$"
)
_INJECTED_VALUE = re.compile(r"^(tcp|udp|sctp)://")


class _ServerSettings(BaseModel):
    host: str = Field(
        "127.0.0.1",
        description="Address to listen on; `::` is every address of IPv6 and of IPv4 (of IPv4 "
        "alone where IPv6 is disabled), `0.0.0.0` every address of IPv4.",
    )
    port: int = Field(8000, ge=1, le=65535, description="TCP port to listen on.")
    registry: tuple[Path, ...] = Field(
        (SHIPPED_REGISTRY,),
        min_length=1,
        description="Registry folder of `<family>/<variant>/` bundles, or the folder of one "
        "exported Hugging Face model; separate several by commas.",
    )
    variants: tuple[str, ...] = Field(
        (), description="Variants to load, separated by commas; empty loads all."
    )
    default_model: str = Field(
        "",
        max_length=128,
        description="Family for requests without a model; required if there are several families "
        "and a client's protocol cannot name one.",
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="Device that runs the models.")
    engine: Literal["auto", "onnxruntime", "openvino"] = Field(
        "auto",
        description="Inference engine; `auto` measures the engines on this machine and uses the "
        "fastest whose answers agree with ONNX Runtime's.",
    )
    threads: int = Field(
        0, ge=0, le=1024, description="CPU cores to use; 0 follows the cgroup quota and affinity."
    )
    tuning: Path | Literal[""] | None = Field(
        None,
        description="Folder that keeps what warm-up measured, for the next start. By default "
        "`.tuning` beside the registry where that can be written, or else in the user's cache "
        "folder; empty keeps nothing.",
    )
    http_processes: int = Field(
        0,
        ge=0,
        le=256,
        description="HTTP processes that accept connections and tokenize, in front of the engine "
        "process; 0 runs everything in one process, which is fastest on a few cores.",
    )
    gpu_memory_bytes: int = Field(
        0,
        ge=0,
        le=1 << 40,
        description="Maximum GPU memory of each variant, in bytes; 0 sets no limit.",
    )
    grpc_port: int = Field(
        0, ge=0, le=65535, description="TCP port of gRPC: V2 and `ext_proc`; 0 disables it."
    )
    admin_port: int = Field(
        0, ge=0, le=65535, description="TCP port of the admin API; 0 disables it."
    )
    admin_key: SecretStr | None = Field(
        None,
        min_length=8,
        description="Key that the admin API requires as `Authorization: Bearer <key>`.",
    )
    api_key: SecretStr | None = Field(
        None,
        min_length=8,
        description="When set, every request that uses or describes a model needs `Authorization: "
        "Bearer <key>`, in every protocol; health checks, `/metrics` and `/docs` do not.",
    )
    trusted_keys: Path | None = Field(
        None,
        description="Public key in PEM, or a folder of `*.pem`, read at the start; only bundles "
        "signed by one of them are served. Empty serves unsigned bundles too.",
    )
    callers: Path | None = Field(
        None,
        description="JSON file of callers, each with the hash of its API key and its limits; "
        "`python -m serving key NAME` makes an entry.",
    )
    max_body_bytes: int = Field(
        1_048_576, ge=1024, le=1 << 30, description="Maximum size of a request body, in bytes."
    )
    max_texts: int = Field(
        256, ge=1, le=65_536, description="Maximum number of texts in one request."
    )
    max_text_chars: int = Field(
        20_000,
        ge=1,
        le=10_000_000,
        description="Maximum length of a text before tokenization, in characters.",
    )
    max_windows: int = Field(
        64, ge=2, le=4096, description="Maximum number of windows of one long text."
    )
    max_requests: int = Field(
        1024,
        ge=1,
        le=1_000_000,
        description="Maximum number of requests in progress (in each HTTP process, where there are "
        "several); more get 429. As many more may be sending their bodies, and as many reading.",
    )
    max_connections: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Maximum number of connections (to each HTTP process, where there are "
        "several); 0 is what the limit of file descriptors allows, which bounds other values too.",
    )
    max_connections_per_address: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Maximum number of connections from one IPv4 address or IPv6 network of 64 "
        "bits (to each HTTP process, where there are several); more get 429. 0 sets no limit, as "
        "behind a proxy, which is one address.",
    )
    max_queue_texts: int = Field(
        2048,
        ge=1,
        le=1_000_000,
        description="Maximum number of queued texts for one variant, for each caller and urgency; "
        "more are degraded or get 429.",
    )
    memory_bytes: int = Field(
        0,
        ge=0,
        le=1 << 50,
        description="Maximum memory of loaded families, in bytes; beyond it the least recently "
        "used families are unloaded, and reloaded on demand; 0 sets no limit.",
    )
    cache_texts: int = Field(
        0,
        ge=0,
        le=100_000_000,
        description="Maximum number of cached results (about 0.3 kB each, and 4 bytes a token); "
        "0 disables the cache.",
    )
    max_batch_tokens: int = Field(
        32_768,
        ge=16,
        le=1_048_576,
        description="Maximum number of tokens in one batch, padding included; warm-up measures the "
        "best size within it.",
    )
    default_deadline_ms: int = Field(
        10_000, ge=1, le=600_000, description="Deadline of requests that set none, in ms."
    )
    max_deadline_ms: int = Field(
        60_000, ge=1, le=600_000, description="Maximum deadline that a request may set, in ms."
    )
    brownout_ms: int = Field(
        250,
        ge=0,
        le=600_000,
        description="Predicted queue time above which smaller variants answer for `auto`, in ms; "
        "0 disables brownout.",
    )
    body_timeout_ms: int = Field(
        10_000, ge=10, le=600_000, description="Maximum time to receive a request body, in ms."
    )
    keep_alive_s: int = Field(
        620,
        ge=1,
        le=86_400,
        description="Time to keep an idle connection open, in seconds, sent as `Keep-Alive`; it "
        "must be longer than the proxy in front keeps idle connections.",
    )
    engine_timeout_ms: int = Field(
        30_000,
        ge=100,
        le=600_000,
        description="Maximum run time of a batch, in ms; beyond it the batch fails and the server "
        "is not ready until the engine responds; after twice that time the process ends.",
    )
    load_timeout_ms: int = Field(
        120_000,
        ge=1_000,
        le=3_600_000,
        description="Maximum time to verify a bundle, to try it, or to load it and warm it up, in "
        "ms; beyond it the bundle is refused.",
    )
    shutdown_delay_ms: int = Field(
        500,
        ge=0,
        le=600_000,
        description="Time between SIGTERM, which makes the server not ready, and the closing of "
        "the listener, in ms.",
    )
    drain_ms: int = Field(
        15_000,
        ge=100,
        le=600_000,
        description="Maximum time to answer accepted requests after the listener closes, in ms; "
        "those that still run then get 503.",
    )
    scan_ms: int = Field(
        5_000,
        ge=100,
        le=3_600_000,
        description="Interval between scans for changes in the registry and in the callers file, "
        "in ms.",
    )
    playground: bool = Field(
        True, description="Serve the playground at `/`; its pages need no key, what they ask does."
    )
    trace_endpoint: str = Field(
        "",
        pattern=r"^(https?://[^/\s]+.*)?$",
        description="OpenTelemetry collector that receives traces (OTLP over HTTP), e.g. "
        "http://otel-collector:4318; empty disables tracing. OTEL_* variables apply.",
    )

    @field_validator("variants", "registry", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, Path):
            return (value,)
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_texts > self.max_queue_texts:
            raise ValueError("SIZEWISE_MAX_TEXTS exceeds SIZEWISE_MAX_QUEUE_TEXTS")
        if self.admin_port and self.admin_key is None:
            raise ValueError("SIZEWISE_ADMIN_PORT needs a SIZEWISE_ADMIN_KEY")
        if self.default_deadline_ms > self.max_deadline_ms:
            raise ValueError("SIZEWISE_DEFAULT_DEADLINE_MS exceeds SIZEWISE_MAX_DEADLINE_MS")
        return self


class Settings(FeedbackSettings, ExtProcSettings, _ServerSettings):
    """All settings; frozen once read."""


def read_settings(
    environ: Mapping[str, str], flags: Mapping[str, str] = MappingProxyType({})
) -> tuple[Settings, list[str]]:
    """Read the settings from an environment; also return the ignored names Kubernetes injected.

    `flags` are settings by name, such as `port`, and take precedence. Raises StartError naming the
    variable or flag and what is wrong with it.
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
        return Settings.model_validate(values | dict(flags)), injected
    except ValidationError as error:
        raise StartError("; ".join(_sentences(error, flags))) from error


def _sentences(error: ValidationError, flags: Mapping[str, str]) -> Iterator[str]:
    for item in error.errors():
        if not item["loc"]:
            yield item["msg"]
            continue
        field = str(item["loc"][0])
        name = f"--{field}" if field in flags else PREFIX + field.upper()
        if item["type"] == "extra_forbidden":
            yield f"{name} is not a setting: the help of `serve` lists them"
        else:
            got = "" if name.endswith("_KEY") else f" (got {item['input']!r})"
            yield f"{name}: {item['msg']}{got}"
