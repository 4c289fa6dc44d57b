"""The server that gives slow clients fractions of the usual time."""

import sys

from serving.__main__ import main
from serving.server import http_protocol, lingering, slow_readers

PERIOD_S = 1.5

if __name__ == "__main__":
    http_protocol.MAX_HEAD_S = PERIOD_S
    lingering._PERIOD_S = PERIOD_S
    slow_readers._PERIOD_S = PERIOD_S
    sys.exit(main())
