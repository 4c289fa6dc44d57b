"""An event loop's timers, in a time that goes only when it is told to."""

from functools import partial


class FakeLoop:
    def __init__(self):
        self.now_s = 0.0
        self._timers = []

    def time(self):
        return self.now_s

    def call_later(self, delay_s, callback, *arguments):
        timer = FakeTimer(self.now_s + delay_s, partial(callback, *arguments))
        self._timers.append(timer)
        return timer

    def wait(self, seconds):
        until_s = self.now_s + seconds
        while due := [each for each in self._timers if each.is_open and each.when() <= until_s]:
            timer = min(due, key=FakeTimer.when)
            self.now_s, timer.is_open = timer.when(), False
            timer.callback()
        self.now_s = until_s


class FakeTimer:
    def __init__(self, when_s, callback):
        self._when_s = when_s
        self.callback = callback
        self.is_open = True

    def when(self):
        return self._when_s

    def cancel(self):
        self.is_open = False
