import asyncio

from serving.batching.deadlines import Deadlines


async def test_all_that_pass_in_one_tick_are_told_once_and_what_was_discarded_is_not():
    loop = asyncio.get_running_loop()
    passed = []
    entries = {}

    def passes(entry):
        passed.append(entry)
        entries[entry].discard(entry)
        entries["also discarded"].discard("also discarded")

    deadlines = Deadlines(loop, passes)
    now_s = loop.time()
    for entry in ("one", "two", "three", "discarded", "also discarded"):
        entries[entry] = deadlines.add(entry, now_s + 0.02, now_s)
    later = deadlines.add("later", now_s + 60, now_s)
    entries["discarded"].discard("discarded")
    await asyncio.sleep(0.1)

    assert {"one", "two", "three"} <= set(passed) <= {"one", "two", "three", "also discarded"}
    assert len(passed) == len(set(passed))
    assert later == {"later"}
