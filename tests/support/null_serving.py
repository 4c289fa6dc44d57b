"""`python -m tests.support.null_serving`: the real server over an engine that computes nothing."""

import os
from collections import defaultdict

import numpy as np

from serving.inference.inputs import Encoding
from serving.logs import configure_logs
from serving.server import launch
from serving.settings import read_settings


class NullEngine:
    def __init__(self, bundle, resources):
        self.slots = resources.threads
        self.packed = True
        self.preempts = True
        self.example = lambda length: Encoding([1] * length, length)
        self._labels = len(bundle.manifest.labels)

    def unpacked(self):
        return self

    def run(self, batch):
        return np.zeros((len(batch), self._labels), dtype=np.float32)


def serve(engine):
    """Serve by the environment's settings over `engine` alone, until SIGTERM."""
    settings, _ = read_settings(os.environ)
    configure_logs()
    launch.serve(settings, print, defaultdict(lambda: engine, onnxruntime=engine))


if __name__ == "__main__":
    serve(NullEngine)
