"""The server with the limit of file descriptors that DESCRIPTORS gives."""

import os
import resource
import sys

from serving.__main__ import main

if __name__ == "__main__":
    count = int(os.environ["DESCRIPTORS"])
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
    sys.exit(main())
