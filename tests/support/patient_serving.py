"""The server that takes a connection for slow only after a minute, however slow the machine is."""

import sys

from serving.__main__ import main
from serving.server import connection

if __name__ == "__main__":
    connection._SLOW_S = 60.0
    sys.exit(main())
