"""The parts of the report, in order: the program of each, and its time."""

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROGRAM = "tests.benchmarks.gpu_report"
GPU_MARK = "pytest.mark.gpu"
PRECISIONS = ("fp32", "fp16")
SERVED = "fp16"


@dataclass(frozen=True)
class Part:
    """`usual_s` must be left for it to begin; after `limit_s` it is stopped.

    Its program writes JSON objects to standard output, and may add to them as it goes on.
    `expected` names what they hold together when it is complete. What `lacks` names keeps it from
    beginning.
    """

    name: str
    command: list[str]
    usual_s: float
    limit_s: float
    expected: tuple[str, ...] = ()
    lacks: str = ""


@dataclass(frozen=True)
class Length:
    """How long each measurement is."""

    ceiling_s: float
    served_s: int
    served_rounds: int
    rounds: int
    path_s: int
    path_clients: tuple[int, ...]
    path_http_processes: tuple[int, ...]


FULL = Length(
    ceiling_s=0.7, served_s=4, served_rounds=2, rounds=3, path_s=3, path_clients=(32, 256),
    path_http_processes=(0, 1, 2),
)  # fmt: skip
SHORT = Length(
    ceiling_s=0.1, served_s=1, served_rounds=1, rounds=1, path_s=1, path_clients=(32,),
    path_http_processes=(0, 1),
)  # fmt: skip


def module(name, **options):
    """The command of a program, with its options by name."""
    words = [sys.executable, "-m", name]
    for option, value in options.items():
        words += [f"--{option.replace('_', '-')}", str(value)]
    return words


def ceiling_name(precision, device):
    return f"ceiling of {precision} on {device}"


def served_name(processes):
    return f"served with {processes} HTTP processes"


def gpu_test_files():
    """The files that hold a test of CUDA: of models, only where what they train with is there."""
    tested = ("serving", "models") if find_spec("transformers") else ("serving",)
    return [
        path.relative_to(ROOT)
        for folder in tested
        for path in sorted((ROOT / "tests" / folder).rglob("test_*.py"))
        if GPU_MARK in path.read_text()
    ]


def listed(numbers):
    return ",".join(map(str, numbers))


def parts(device, bundles, clients, http_processes, *, with_wrk):
    """All parts; `bundles` holds the teacher's folder by precision."""
    length = FULL if device == "cuda" else SHORT
    yield Part("gpu tests", module(f"{PROGRAM}.gpu_tests"), 20, 75, ("passed",))
    for on in dict.fromkeys((device, "cpu")):
        for precision in PRECISIONS:
            command = module(
                f"{PROGRAM}.ceiling", bundle=bundles[precision], device=on,
                seconds=length.ceiling_s, rounds=length.rounds,
            )  # fmt: skip
            yield Part(
                ceiling_name(precision, on), command, 25, 45,
                ("ceiling_texts_per_s", "bound_buffers"),
            )  # fmt: skip
    for count in http_processes:
        command = module(
            f"{PROGRAM}.served", bundle=bundles[SERVED], device=device, http_processes=count,
            clients=listed(clients), seconds=length.served_s, rounds=length.served_rounds,
        )  # fmt: skip
        usual_s = 15 + len(clients) * length.served_rounds * (length.served_s + 1)
        yield Part(served_name(count), command, usual_s, usual_s + 15, tuple(map(str, clients)))
    command = module(
        "tests.benchmarks.path_cost", rounds=1, seconds=length.path_s,
        clients=listed(length.path_clients), http_processes=listed(length.path_http_processes),
    )  # fmt: skip
    expected = tuple(map(str, length.path_clients))
    lacks = "" if with_wrk else "wrk is missing"
    yield Part("path_cost", command, 40 * len(expected), 55 * len(expected), expected, lacks)


def teacher(registry, shape, out):
    options = {"registry": registry} if registry else {}
    return Part("teacher", module(f"{PROGRAM}.teacher", shape=shape, out=out, **options), 0, 60)


def needs(device):
    return Part("needs", [*module(f"{PROGRAM}.needs"), device], 0, 60)


def page(report, out):
    return Part("page", module(f"{PROGRAM}.page", report=Path(report), out=Path(out)), 0, 60)
