"""`python -m tests.slow_serving`: the real server over an engine that takes its time.

SLOW_LOAD_S and SLOW_BATCH_S say how long, in seconds.
"""

import os
import sys
import time

from serving.app import create_app
from serving.logs import configure_logs
from serving.ort_engine import OrtEngine
from serving.server import Server
from serving.settings import read_settings

BATCH_S = float(os.environ.get("SLOW_BATCH_S", "0"))
LOAD_S = float(os.environ.get("SLOW_LOAD_S", "0"))


class SlowEngine:
    def __init__(self, bundle, device, threads):
        time.sleep(LOAD_S)
        self._engine = OrtEngine(bundle, device, threads)
        self.slots = self._engine.slots

    def run(self, batch):
        time.sleep(BATCH_S)
        return self._engine.run(batch)


def main():
    settings, _ = read_settings(os.environ)
    configure_logs()
    Server(
        create_app(settings, engines={"onnxruntime": SlowEngine}, on_loaded=print), settings
    ).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
