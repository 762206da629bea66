"""The running operator: queue, resync and workers around `reconcile`. Knows no kopf; whoever watches calls `note_*`."""

import asyncio
import concurrent.futures
import logging
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from model_operator.errors import ModelOperatorError
from model_operator.health import Health
from model_operator.model_index import ModelIndex, model_key, parse_owner_keys
from model_operator.observe import Sources
from model_operator.planning.decision import Plan
from model_operator.reconcile import reconcile
from model_operator.telemetry import Telemetry
from model_operator.workqueue import Key, WorkQueue

Object = Mapping[str, Any]
Answer = TypeVar("Answer")

# A rollout tells of every pod several times a second; one look at all of it is enough.
CHILD_DELAY_SECONDS: Final = 0.3
STOP_SECONDS: Final = 5.0
_RETRY_RESYNC_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class Service:
    """Brings every model to the state it asks for, again and again, until it is stopped."""

    def __init__(self, sources: Sources, health: Health, telemetry: Telemetry) -> None:
        """Start nothing yet."""
        settings = sources.settings
        self._sources = sources
        self._resync_seconds = settings.resync_seconds
        self._health = health
        self._telemetry = telemetry
        self._index = ModelIndex()
        self._threads = concurrent.futures.ThreadPoolExecutor(settings.workers + 1, thread_name_prefix="reconcile")
        self._queue = WorkQueue(self._work, settings.workers)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to work, in the running event loop."""
        self._tasks = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("queue", self._queue.run()),
                ("resync", self._resync_forever()),
                ("signs of life", self._note_life()),
            )
        ]

    async def stop(self) -> None:
        """Start nothing more, and give what runs a few seconds to end."""
        self._queue.stop()
        queue, *others = self._tasks
        for task in others:
            task.cancel()
        await asyncio.wait([queue], timeout=STOP_SECONDS)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def note_model(self, body: Object, *, deleted: bool) -> None:
        """The watch told of a model: look at it, unless it was our own status, and at what is measured against it."""
        key = model_key(body)
        if self._index.note_event(body, deleted=deleted):
            self._queue.add(key)
        for dependent in self._index.dependents(key):
            self._queue.add(dependent, CHILD_DELAY_SECONDS)

    def note_child(self, body: Object) -> None:
        """The watch told of something that was made for models: look at them."""
        for key in parse_owner_keys(body):
            self._queue.add(key, CHILD_DELAY_SECONDS)

    async def resync(self) -> None:
        """List all models: now those that the watch has not told, the others spread over the time to the next list.

        Raises:
            ModelOperatorError: when they cannot be listed.
        """
        bodies = await self._in_thread(self._sources.kube.list_models)
        untold, missed = self._index.note_list(bodies)
        for key in map(model_key, bodies):
            self._queue.add(key, 0.0 if key in untold else random.uniform(0, self._resync_seconds))  # noqa: S311 - no secret
        self._telemetry.note_models(bodies)
        self._telemetry.last_resync.set_to_current_time()
        problem = f"the watch has not told of {'/'.join(min(missed))} since the last list" if missed else ""
        self._health.note_resync(problem)

    async def _resync_forever(self) -> None:
        while True:
            try:
                await self.resync()
            except ModelOperatorError as error:
                _log.warning("models could not be listed: %s", error)
                await asyncio.sleep(min(_RETRY_RESYNC_SECONDS, self._resync_seconds))
            else:
                await asyncio.sleep(self._resync_seconds)

    async def _note_life(self) -> None:
        """Hand the queue's signs of life on; a queue that died gives none, and the operator is restarted."""
        last = None
        while True:
            if self._queue.turned_at != last:
                last = self._queue.turned_at
                self._health.note_queue()
            self._telemetry.queue_depth.set(self._queue.depth)
            await asyncio.sleep(1)

    async def _work(self, key: Key) -> float | None:
        begun = time.monotonic()
        try:
            plan = await self._in_thread(lambda: reconcile(*key, self._sources, datetime.now(UTC)))
        except Exception:
            self._telemetry.reconciles.labels("failed").inc()
            raise
        finally:
            self._telemetry.reconcile_seconds.observe(time.monotonic() - begun)
        self._telemetry.reconciles.labels("gone" if plan is None else "done").inc()
        if plan is None:
            return None
        log_plan(key, plan)
        return plan.requeue_after_seconds

    async def _in_thread(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def log_plan(key: Key, plan: Plan) -> None:
    """Tell what a pass did and why; a pass that wrote nothing is told at DEBUG only."""
    wrote = plan.create or plan.adopt or plan.apply or plan.delete or plan.scale is not None
    for reason in plan.reasons:
        _log.log(logging.INFO if wrote else logging.DEBUG, "%s: %s", "/".join(key), reason)
