import subprocess
import sys

import pytest

PROGRAM = """
from serving.runtime.memory import resident_bytes, return_freed
blocks = [bytes(100_000) for _ in range(1000)]
last = bytes(100_000)
del blocks
before = resident_bytes()
return_freed()
print(before - resident_bytes())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="malloc_trim(3) is glibc's")
def test_memory_that_was_freed_goes_back_to_the_system():
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )

    assert int(ran.stdout) > 50e6
