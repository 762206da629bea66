import asyncio
import logging

import pytest

from model_operator.errors import ClusterError
from model_operator.workqueue import WorkQueue, plan_backoff_seconds

A, B, C = ("press", "a"), ("press", "b"), ("press", "c")


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when there is nothing else to do."""

    def __init__(self):
        super().__init__()
        self._jumped = 0.0

    def time(self):
        """The clock, with what was jumped over."""
        return super().time() + self._jumped

    def _run_once(self):
        if not self._ready and self._scheduled:
            self._jumped += max(0.0, self._scheduled[0]._when - self.time())
        super()._run_once()


def play(scenario):
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(asyncio.wait_for(scenario(), 100_000))


async def running(queue, seconds):
    """Run the queue for so long."""
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(seconds)
    queue.stop()
    await task


def test_a_key_added_twice_before_it_runs_is_worked_on_once():
    seen = []

    async def work(key):
        seen.append(key)

    async def scenario():
        queue = WorkQueue(work, workers=2)
        for key in (A, B, A):
            queue.add(key)
        await running(queue, 10)

    play(scenario)
    assert seen == [A, B]


def test_a_key_added_while_it_runs_runs_once_more_and_never_beside_itself():
    spans = []

    async def scenario():
        loop = asyncio.get_running_loop()

        async def work(key):
            begun = loop.time()
            if len(spans) == 0:
                queue.add(key)
                queue.add(key)
            await asyncio.sleep(5)
            spans.append((begun, loop.time()))

        queue = WorkQueue(work, workers=4)
        queue.add(A)
        await running(queue, 60)

    play(scenario)
    (_, first_end), (second_begin, _) = spans
    assert second_begin >= first_end


def test_no_more_than_the_workers_run_at_a_time_and_the_rest_waits():
    most, depths = [], set()

    async def scenario():
        running_now = set()

        async def work(key):
            running_now.add(key)
            most.append(len(running_now))
            depths.add(queue.depth)
            await asyncio.sleep(1)
            running_now.remove(key)

        queue = WorkQueue(work, workers=2)
        for number in range(5):
            queue.add(("press", str(number)))
        await running(queue, 60)

    play(scenario)
    assert len(most) == 5
    assert max(most) == 2
    assert 3 in depths


def test_a_key_comes_again_after_the_time_the_work_names_and_a_sooner_add_wins():
    times = []

    async def scenario():
        loop = asyncio.get_running_loop()
        start = loop.time()

        async def work(_):
            times.append(round(loop.time() - start))
            return 30.0

        queue = WorkQueue(work, workers=1)
        queue.add(A)
        queue.add(B, 1_000_000)
        loop.call_later(40, queue.add, A)
        loop.call_later(50, queue.add, A, 500)
        await running(queue, 110)

    play(scenario)
    assert times == [0, 30, 40, 70, 100]


def test_what_changed_goes_before_what_comes_round_and_does_not_displace_it():
    seen, ages = [], []

    async def scenario():
        async def work(key):
            seen.append(key[1])
            ages.append((queue.depth, queue.age_seconds))
            await asyncio.sleep(1)

        queue = WorkQueue(work, workers=1)
        for number in range(6):
            queue.add(("press", f"round-{number}"), changed=False)
            queue.add(("press", f"change-{number}"))
        queue.add(("press", "round-5"))
        await running(queue, 20)

    play(scenario)
    assert seen == [
        *("round-0", "change-0", "change-1", "change-2"),
        *("round-1", "change-3", "change-4", "change-5"),
        *("round-2", "round-5", "round-3", "round-4"),
    ]
    ages = [(depth, round(age)) for depth, age in ages]
    assert ages[0] == (11, 0)
    assert ages[-1] == (0, 0)
    assert ages[-2] == (1, 10)


def test_a_key_that_is_gone_does_not_come_again():
    seen = []

    async def work(key):
        seen.append(key)

    async def scenario():
        queue = WorkQueue(work, workers=1)
        queue.add(A)
        await running(queue, 10_000)

    play(scenario)
    assert seen == [A]


def list_times_of_work(answer, seconds, changes=()):
    """When a key was worked on, in whole seconds; `answer` gives, or raises, what the n-th work does, from 1.

    Args:
        answer: called with n.
        seconds: how long the queue runs.
        changes: when the key is added again.
    """
    times = []

    async def scenario():
        loop = asyncio.get_running_loop()
        start = loop.time()

        async def work(_):
            times.append(round(loop.time() - start))
            return answer(len(times))

        queue = WorkQueue(work, workers=1, pick_fraction=lambda: 0.0)
        queue.add(A)
        for after_seconds in changes:
            loop.call_later(after_seconds, queue.add, A)
        await running(queue, seconds)

    play(scenario)
    return times


def test_errors_come_again_later_and_later_and_success_starts_over(caplog):
    def answer(count):
        if count == 4:
            return 10.0
        raise ClusterError("the API server is away")

    with caplog.at_level(logging.WARNING):
        times = list_times_of_work(answer, 20)
    assert times == [0, 1, 3, 7, 17, 18]
    assert caplog.messages[0] == "press/a: failure 1, again in 1 s: the API server is away"
    assert not caplog.records[0].exc_info


def test_an_error_that_nobody_foresaw_is_logged_with_its_place_and_harms_no_other_key(caplog):
    seen = []

    async def work(key):
        if key == A:
            raise KeyError("spec")
        seen.append(key)

    async def scenario():
        queue = WorkQueue(work, workers=1)
        for key in (A, B, C):
            queue.add(key)
        await running(queue, 0.5)

    with caplog.at_level(logging.WARNING):
        play(scenario)
    assert seen == [B, C]
    assert caplog.records[0].exc_info[0] is KeyError


def test_the_time_that_a_server_asks_for_is_waited():
    def answer(_):
        raise ClusterError("too many requests", retry_after_seconds=20)

    assert list_times_of_work(answer, 30) == [0, 20]


@pytest.mark.parametrize(("asked", "worked_at"), [(20, [0, 20, 21]), (None, [0, 1, 5, 21])])
def test_a_change_waits_for_the_time_that_a_server_asked_for_and_for_nothing_else(asked, worked_at):
    def answer(count):
        if count == 1:
            raise ClusterError("not now", retry_after_seconds=asked)

    assert list_times_of_work(answer, 30, changes=(5, 21)) == worked_at


def test_stopping_waits_for_what_runs_and_starts_nothing_more():
    ended = []

    async def scenario():
        async def work(key):
            await asyncio.sleep(5)
            ended.append(key)

        queue = WorkQueue(work, workers=1)
        queue.add(A)
        queue.add(B)
        await running(queue, 1)

    play(scenario)
    assert ended == [A]


@pytest.mark.parametrize(
    ("failures", "fraction", "seconds"),
    [(1, 0, 1), (1, 1, 0.5), (2, 0, 2), (9, 0, 256), (10, 0, 300), (10, 1, 150), (5000, 0.5, 225)],
)
def test_back_off_doubles_up_to_five_minutes_less_what_chance_takes_off(failures, fraction, seconds):
    assert plan_backoff_seconds(failures, fraction) == seconds
