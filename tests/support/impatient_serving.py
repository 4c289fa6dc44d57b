"""The server that gives slow clients fractions of the usual time, and of what they may not read."""

import sys

from serving.__main__ import main
from serving.protocols.grpc import unread_answers
from serving.server import http_protocol, lingering, slow_readers

PERIOD_S = 1.5
MOST_UNREAD_BYTES = 200_000

if __name__ == "__main__":
    http_protocol.MAX_HEAD_S = PERIOD_S
    lingering._PERIOD_S = PERIOD_S
    slow_readers._PERIOD_S = PERIOD_S
    unread_answers.MOST_BYTES = MOST_UNREAD_BYTES
    sys.exit(main())
