"""`python -m serving classify` in this process, over engines that keep what they run."""

import io
from copy import copy

import pytest

from serving.inference.ort_engine import OrtEngine
from serving.inference.packing import lay_out
from serving.offline.job import Job, classify
from serving.settings import Settings
from tests.support.offline_jobs import opinions, write

RUNS = []


class PacksSlowly(OrtEngine):
    """Takes several texts a row, in many times the time of one a row."""

    packed = True

    def unpacked(self):
        other = copy(self)
        other.packed = False
        return other

    def run(self, batch):
        RUNS.append(self.packed)
        cells = lay_out(tuple(item.length for item in batch), packed=self.packed).cells
        for _ in range(20 * cells if self.packed else 0):
            hash("slow")
        return super().run(batch)


@pytest.mark.parametrize("engine", [PacksSlowly, OrtEngine])
def test_a_job_has_the_layout_that_its_measurement_chose(tmp_path, tiny_registry, engine):
    source = write(tmp_path / "in.jsonl", opinions(50))
    job = Job(source, tmp_path / "out.jsonl", "text", None, None, "wide", long=None, prefix="")
    settings = Settings(registry=(tiny_registry,), engine="onnxruntime", threads=1)
    RUNS.clear()

    assert classify(job, settings, io.StringIO(), engines={"onnxruntime": engine})

    assert bool(RUNS) == (engine is PacksSlowly)
    assert not any(RUNS[-1:]), "the texts of the job shared rows"
