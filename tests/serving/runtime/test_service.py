"""Which options overload skips: by the wait of the caller's own requests of that size."""

from types import SimpleNamespace

import pytest

from serving.batching.queue import ONLY_FLOW, Backlog, Flow
from serving.inference.inputs import Row
from serving.observability.metrics import Metrics
from serving.runtime.service import Service
from serving.settings import Settings

BUDGET = 256
FAMILY = SimpleNamespace(
    name="sentiment",
    most_steps=2,
    default_key=("sentiment", "medium", "0"),
    default_manifest=SimpleNamespace(max_length=256),
)
SMALL, MEDIUM, LARGE = ONLY_FLOW.all_sizes()
SHORT, MANY = ["short"], ["word " * 300] * 256


def service(backlog):
    runtime = SimpleNamespace(
        running={FAMILY.default_key: SimpleNamespace(max_batch_tokens=BUDGET)},
        queue_wait_s=backlog.queue_wait_s,
        recorder=Metrics(),
    )
    return Service(Settings(brownout_ms=250), runtime, lambda: 100.0)


@pytest.mark.parametrize("inputs", [SHORT, ["short"] * 32])
def test_a_small_request_is_not_degraded_for_the_large_ones_of_the_same_caller(inputs):
    service_ = service(Backlog({LARGE: 60.0}, (0.4, 0.5), 2))

    assert service_.steps(FAMILY, ONLY_FLOW, MANY) == 1
    assert service_.steps(FAMILY, ONLY_FLOW, inputs) == 0


def test_large_requests_are_not_degraded_for_a_burst_of_small_ones_that_ends_soon():
    service_ = service(Backlog({SMALL: 60.0}, (), 1))

    assert service_.steps(FAMILY, ONLY_FLOW, SHORT) == 1
    assert service_.steps(FAMILY, ONLY_FLOW, MANY) == 0


def test_batches_that_run_degrade_nobody():
    service_ = service(Backlog({}, (30.0,), 1))

    assert service_.steps(FAMILY, ONLY_FLOW, SHORT) == 0


def test_a_caller_is_degraded_by_its_own_queue_alone():
    service_ = service(Backlog({Flow("batch"): 60.0}, (), 1))

    assert service_.steps(FAMILY, Flow("batch"), SHORT) == 1
    assert service_.steps(FAMILY, Flow("search"), SHORT) == 0


@pytest.mark.parametrize(
    ("inputs", "size"),
    [
        (["short"] * 32, 0),
        (["word " * 40] * 4, 0),
        (["word " * 40] * 6, 1),
        (["word " * 300] * 256, 2),
        ([("a", "b")] * 9, 0),
        ([("word " * 20, "word " * 20)] * 5, 0),
        ([("word " * 20, "word " * 20)] * 6, 1),
        ([("word " * 300, "a")] * 256, 2),
        ([Row(())] * 256, 0),
        ([Row(())] * 257, 1),
    ],
)
def test_a_requests_size_is_estimated_before_it_is_tokenized(inputs, size):
    asked = []
    service_ = service(Backlog())
    service_.runtime.queue_wait_s = lambda flow: asked.append(flow) or 0.0

    service_.steps(FAMILY, ONLY_FLOW, inputs)

    assert [flow.size for flow in asked] == [size]
