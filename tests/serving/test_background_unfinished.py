import asyncio
import threading

from serving.background import in_background


async def test_work_that_has_ended_as_its_waiter_is_cancelled_is_not_left_unfinished(capsys):
    ended, go_on = threading.Event(), threading.Event()

    def work():
        go_on.wait(30)
        ended.set()

    waiting = asyncio.create_task(in_background(work, "ending", 30))
    await asyncio.sleep(0)
    go_on.set()
    assert ended.wait(30)
    for thread in [each for each in threading.enumerate() if each.name == "ending"]:
        thread.join(30)
    waiting.cancel()
    await asyncio.wait([waiting])

    assert waiting.cancelled()
    assert "left unfinished" not in capsys.readouterr().out
