"""`python -m tests.null_serving`: the real server over an engine that computes nothing."""

import os

import numpy as np

from serving.app import create_app
from serving.logs import configure_logs
from serving.server import Server
from serving.settings import read_settings


class NullEngine:
    def __init__(self, bundle, _device, threads):
        self.slots = threads
        self.packed = True
        self._labels = len(bundle.manifest.labels)

    def run(self, batch):
        return np.zeros((len(batch), self._labels), dtype=np.float32)


def serve(engine):
    """Serve by the environment's settings over `engine` alone, until SIGTERM."""
    settings, _ = read_settings(os.environ)
    configure_logs()
    app = create_app(settings, engines={"onnxruntime": engine}, on_loaded=print)
    Server(app, settings).serve_forever()


if __name__ == "__main__":
    serve(NullEngine)
