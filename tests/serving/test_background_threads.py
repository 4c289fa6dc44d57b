"""Threads that run one piece of work after the other, and do not keep the process alive."""

import gc
import threading
import time
import weakref

import pytest

from serving.background import Threads
from serving.errors import StartError


def test_threads_run_at_once_what_they_are_given_and_hand_over_what_it_raises():
    threads, both = Threads(2, "worker"), threading.Barrier(2)
    running = [threads.submit(both.wait, 30) for _ in range(2)]
    failing = threads.submit(lambda: 1 / 0)

    assert sorted(each.result(30) for each in running) == [0, 1]
    with pytest.raises(ZeroDivisionError):
        failing.result(30)
    assert threads.submit(sum, [1, 2], start=3).result(30) == 6
    threads.shutdown()


def test_threads_that_are_shut_down_end_what_they_run_and_begin_nothing():
    threads, end, begun = Threads(1, "ending"), threading.Event(), threading.Event()

    def work():
        begun.set()
        return end.wait(30)

    running, waiting = threads.submit(work), threads.submit(int)
    assert begun.wait(30)
    (thread,) = (each for each in threading.enumerate() if each.name == "ending-0")
    threads.shutdown()
    end.set()
    thread.join(30)

    assert running.result(30)
    assert waiting.cancelled()
    assert not thread.is_alive()
    assert thread.daemon
    with pytest.raises(RuntimeError, match="ending are shut down"):
        threads.submit(int)


def test_a_shutdown_that_waits_returns_once_the_threads_have_ended():
    threads, begun, ended = Threads(2, "awaited"), threading.Event(), threading.Event()

    def work():
        begun.set()
        time.sleep(0.2)
        ended.set()

    threads.submit(work)
    assert begun.wait(30)
    threads.shutdown(wait=True)

    assert ended.is_set()
    assert not any(each.name.startswith("awaited") for each in threading.enumerate())


def test_what_fails_and_its_arguments_are_freed_without_the_collector_of_cycles():
    class Argument:
        pass

    def fail(_argument):
        raise ValueError("broken")

    threads, argument = Threads(1, "failing"), Argument()
    freed = weakref.ref(argument)
    gc.disable()
    try:
        failed = threads.submit(fail, argument)
        assert isinstance(failed.exception(30), ValueError)
        del failed, argument
        threads.shutdown(wait=True)
        assert freed() is None
    finally:
        gc.enable()


def test_threads_that_cannot_be_started_early_say_why_the_server_does_not_start(monkeypatch):
    def refuse(_self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(StartError, match=r"starting a thread \(early\): can't start new thread"):
        Threads(1, "early").start()
