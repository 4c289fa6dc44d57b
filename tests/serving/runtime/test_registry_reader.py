import asyncio
import threading
from contextlib import suppress

import pytest

from serving.errors import BundleError
from serving.runtime.registry_reader import RegistryReader
from serving.settings import Settings


@pytest.fixture
def reader():
    return RegistryReader(Settings(load_timeout_ms=1000), lambda _unreadable: None)


@pytest.mark.parametrize("error", [PermissionError(13, "denied"), OSError(5, "I/O"), ValueError()])
def test_whatever_a_read_raises_is_an_error_that_names_the_setting(reader, error):
    def read():
        raise error

    with pytest.raises(BundleError, match="SIZEWISE_REGISTRY"):
        asyncio.run(reader.read(read))


def test_a_read_that_hangs_is_given_up_and_is_not_repeated_before_it_ends(reader):
    answers, begun = threading.Event(), []

    def hang():
        begun.append(threading.current_thread())
        answers.wait(60)

    async def main():
        with pytest.raises(BundleError, match="took over 1 s"):
            await reader.read(hang)
        for _ in range(3):
            with pytest.raises(BundleError, match="does not answer"):
                await reader.read(hang)
        answers.set()
        begun[0].join(30)
        return await reader.read(lambda: "read again")

    assert asyncio.run(main()) == "read again"
    assert len(begun) == 1
    assert begun[0].daemon, "it must not keep the process alive"


async def test_a_failure_is_logged_and_counted_when_it_begins_changes_and_ends(capsys):
    changes = []
    reader = RegistryReader(Settings(), changes.append)

    def read():
        if reason:
            raise BundleError(reason)

    for reason in ("", "gone", "gone", "denied", "", ""):
        with suppress(BundleError):
            await reader.read(read)
        # What can be read does not make the rest readable.
        await reader.read(list)
        assert reader.failing == bool(reason)

    lines = capsys.readouterr().out.splitlines()

    assert [line.partition('"event":')[2] for line in lines] == [
        '"registry unreadable","reason":"gone"}',
        '"registry unreadable","reason":"denied"}',
        '"registry readable"}',
    ]
    assert changes == [True, False]
