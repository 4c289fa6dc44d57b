"""Optional packages: a missing one is one sentence with the command that installs it."""

from collections.abc import Iterator
from contextlib import contextmanager

from serving.errors import StartError

_EXTRAS = {
    "adlfs": "fetch",
    "aiohttp": "fetch",
    "cryptography": "signing",
    "fsspec": "fetch",
    "gcsfs": "fetch",
    "google": "grpc",
    "grpc": "grpc",
    "onnxruntime": "cpu",
    "openvino": "cpu",
    "opentelemetry": "tracing",
    "pyarrow": "offline",
    "s3fs": "fetch",
}


@contextmanager
def optional_packages(purpose: str = "") -> Iterator[None]:
    """Turn the import of a missing package into a StartError, which names its `purpose`, if any.

    Any other failed import is a bug and passes.
    """
    try:
        yield
    except ImportError as error:
        # fsspec hides which module is missing behind an error of its own.
        module = error.name or getattr(error.__cause__, "name", None) or ""
        extra = _EXTRAS.get(module.partition(".")[0])
        if extra is None:
            raise
        other = " (with CUDA: 'sizewise[gpu]')" if module == "onnxruntime" else ""
        raise StartError(
            f"{purpose}{': ' if purpose else ''}{module} is not installed: "
            f"pip install 'sizewise[{extra}]'{other}"
        ) from error
