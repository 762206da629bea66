"""Joins requests that wait for the same graph into one run, which costs less than a run for each.

There are no threads of its own: the request that comes while fewer than `threads` batches are run leads a batch of
whatever waits, its own request first; the others sleep until their part of the answer is there, or until it is their
turn to lead.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from model_server.batching_settings import Batching
from model_server.engine import Engine, GraphSignature, Observe, check_inputs, ignore_times
from model_server.errors import DeadlineExceededError, ServingError, UnavailableError

Array = NDArray[np.generic]
# What requests must have in common to be joined: the signature, and every input's name and shape of one item.
Key: TypeAlias = tuple[str, tuple[tuple[str, tuple[int, ...]], ...]]
# Told of each batch: its items, those that fill it up, and how long each of its requests had waited.
ObserveBatch = Callable[[int, int, list[float]], None]

_ENDING = "The server is ending: send the request again."


class _Task:
    """One request: its inputs, and once it is through, its answer or what went wrong; neither means: run it alone."""

    def __init__(self, key: Key, inputs: dict[str, Array], size: int) -> None:
        self.key = key
        self.inputs = inputs
        self.size = size
        self.enqueued_seconds = time.perf_counter()
        self.wake = threading.Event()
        self.leads = False
        self.outputs: dict[str, Array] | None = None
        self.error: ServingError | None = None
        self.waited_seconds = 0.0
        self.ran_seconds = 0.0


class BatchingEngine:
    """An engine in front of another one; requests whose items cannot be joined go straight through."""

    def __init__(self, engine: Engine, batching: Batching, observe_batch: ObserveBatch = lambda *_: None) -> None:
        self.signatures: dict[str, GraphSignature] = engine.signatures
        self._engine = engine
        self._batching = batching
        self._observe_batch = observe_batch
        self._lock = threading.Lock()
        self._waiting: deque[_Task] = deque()
        self._waiting_items = 0
        self._running = 0
        # Signatures whose outputs do not have one part for each item: their requests are run alone.
        self._inseparable: set[str] = set()
        # The open batch of a leader that waits for more, its items, and what to set when it is full.
        self._gathering: dict[Key, tuple[list[_Task], threading.Event]] = {}
        self._given_up = False

    def run(
        self,
        signature: str,
        inputs: dict[str, Array],
        timeout_seconds: float | None = None,
        observe: Observe = ignore_times,
    ) -> dict[str, Array]:
        """As `Engine.run`; `observe` is told of the whole batch's run.

        Raises:
            UnavailableError: As many batches wait as may, or `give_up` was called.
        """
        size = self._common_size(signature, inputs)
        if size is None or size > self._batching.max_size or signature in self._inseparable:
            return self._engine.run(signature, inputs, timeout_seconds, observe)
        key = signature, tuple(sorted((name, array.shape[1:]) for name, array in inputs.items()))
        task = _Task(key, inputs, size)
        if self._enqueue(task) or self._wait(task, timeout_seconds):
            self._lead(task)
        if task.error is not None:
            raise task.error
        if task.outputs is None:
            return self._engine.run(signature, inputs, timeout_seconds, observe)
        observe(task.waited_seconds, task.ran_seconds)
        return task.outputs

    def give_up(self) -> None:
        """As `Engine.give_up`: no batch is begun any more, and none waits for more requests."""
        self._engine.give_up()
        with self._lock:
            self._given_up = True
            waiting = list(self._waiting)
            self._waiting.clear()
            self._waiting_items = 0
            for _, full in self._gathering.values():
                full.set()
        for task in waiting:
            task.error = UnavailableError(_ENDING)
            task.wake.set()

    def close(self) -> None:
        """Close the engine behind."""
        self._engine.close()

    def _common_size(self, signature: str, inputs: dict[str, Array]) -> int | None:
        """The number of items in every input, or None where they have none, or not the declared shape of one."""
        tensors = self.signatures[signature].inputs
        check_inputs(tensors, inputs)
        sizes = {array.shape[0] if array.ndim else 0 for array in inputs.values()}
        if len(sizes) != 1 or not all(tensors[name].declares(array.shape) for name, array in inputs.items()):
            return None
        return sizes.pop() or None

    def _enqueue(self, task: _Task) -> bool:
        """Whether the task leads a batch now; otherwise it waits to be taken along, or to lead."""
        with self._lock:
            if self._given_up:
                raise UnavailableError(_ENDING)
            gathering = self._gathering.get(task.key)
            if gathering is not None:
                batch, full = gathering
                size = sum(each.size for each in batch) + task.size
                if size <= self._batching.max_size:
                    batch.append(task)
                if size >= self._batching.max_size:
                    del self._gathering[task.key]
                    full.set()
                if size <= self._batching.max_size:
                    return False
            if self._running < self._batching.threads:
                self._running += 1
                return True
            if self._waiting_items + task.size > self._batching.max_enqueued * self._batching.max_size:
                raise UnavailableError("The batch scheduling queue to which this task was submitted is full")
            self._waiting.append(task)
            self._waiting_items += task.size
            return False

    def _wait(self, task: _Task, timeout_seconds: float | None) -> bool:
        """Whether the task is to lead; otherwise it is through.

        Raises:
            DeadlineExceededError: Its time is over, and no batch has taken it along.
        """
        if not task.wake.wait(None if timeout_seconds is None else max(timeout_seconds, 0.0)):
            with self._lock:
                if task in self._waiting:
                    self._waiting.remove(task)
                    self._waiting_items -= task.size
                    raise DeadlineExceededError("No batch was run within the request's time.")
            # It is being run, or told to lead, at this moment.
            task.wake.wait()
        return task.leads

    def _lead(self, task: _Task) -> None:
        batch = self._gather(task)
        try:
            self._run_batch(batch)
        finally:
            with self._lock:
                following = self._waiting.popleft() if self._waiting else None
                if following is None:
                    self._running -= 1
                else:
                    self._waiting_items -= following.size
                    following.leads = True
            if following is not None:
                following.wake.set()
            for each in batch[1:]:
                each.wake.set()

    def _gather(self, task: _Task) -> list[_Task]:
        """The task and those that can go with it: who waits already, and who comes within the time to wait."""
        left_seconds = self._batching.wait_seconds - (time.perf_counter() - task.enqueued_seconds)
        with self._lock:
            batch = [task]
            size = task.size
            for other in [each for each in self._waiting if each.key == task.key]:
                if size + other.size > self._batching.max_size:
                    break
                self._waiting.remove(other)
                self._waiting_items -= other.size
                batch.append(other)
                size += other.size
            if left_seconds <= 0 or size >= self._batching.max_size or task.key in self._gathering:
                return batch
            full = threading.Event()
            self._gathering[task.key] = batch, full
        full.wait(left_seconds)
        with self._lock:
            if self._gathering.get(task.key, (None, None))[0] is batch:
                del self._gathering[task.key]
        return batch

    def _run_batch(self, batch: list[_Task]) -> None:
        begun = time.perf_counter()
        size = sum(task.size for task in batch)
        padded = self._batching.padded_size(size)
        self._observe_batch(size, padded - size, [begun - task.enqueued_seconds for task in batch])
        signature = batch[0].key[0]
        try:
            outputs = self._engine.run(signature, _join([task.inputs for task in batch], padded - size))
        except ServingError as error:
            # One of several may be to blame: each is run alone, and told its own error.
            batch[0].error = error if len(batch) == 1 and padded == size else None
            return
        if len(batch) > 1 or padded > size:
            if any(array.ndim == 0 or array.shape[0] != padded for array in outputs.values()):
                self._inseparable.add(signature)
                return
            outputs = {name: array[:size] for name, array in outputs.items()}
        ran_seconds = time.perf_counter() - begun
        start = 0
        for task in batch:
            stop = start + task.size
            task.outputs = outputs if len(batch) == 1 else {name: each[start:stop] for name, each in outputs.items()}
            task.waited_seconds = begun - task.enqueued_seconds
            task.ran_seconds = ran_seconds
            start = stop


def _join(parts: list[dict[str, Array]], padding: int) -> dict[str, Array]:
    """One array for each input; the last item is repeated to fill the batch up."""
    if len(parts) == 1 and not padding:
        return parts[0]
    joined = {}
    for name in parts[0]:
        arrays = [part[name] for part in parts]
        if padding:
            arrays.append(np.repeat(arrays[-1][-1:], padding, axis=0))
        joined[name] = np.concatenate(arrays)
    return joined
