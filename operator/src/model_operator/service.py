"""The running operator: queue, resync and workers around `reconcile`. Knows no kopf; whoever watches calls `note_*`."""

import asyncio
import concurrent.futures
import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from model_operator.audit import Audit
from model_operator.build_index import BuildIndex
from model_operator.errors import ModelOperatorError, TokenError
from model_operator.health import Health
from model_operator.kube import WATCHED_KINDS
from model_operator.model_index import ModelIndex, model_key, parse_owner_keys
from model_operator.object_cache import ObjectCache
from model_operator.observe import Sources
from model_operator.planning.decision import Plan
from model_operator.reconcile import reconcile
from model_operator.standing import ModelStanding
from model_operator.telemetry import Telemetry
from model_operator.tracing import trace_pass
from model_operator.untaken import Untaken
from model_operator.workqueue import Key, WorkQueue

Object = Mapping[str, Any]
Answer = TypeVar("Answer")

# A rollout tells of every pod several times a second; one look at all of it is enough.
CHILD_DELAY_SECONDS: Final = 0.3
STOP_SECONDS: Final = 5.0
START_SECONDS: Final = 10.0
_START_PAUSE_SECONDS: Final = 0.5
_RETRY_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class Service:
    """Brings every model to the state it asks for, again and again, until it is stopped."""

    def __init__(
        self, sources: Sources, cache: ObjectCache, audit: Audit, health: Health, telemetry: Telemetry
    ) -> None:
        """Start nothing yet."""
        settings = sources.settings
        self._sources = sources
        self._untaken = Untaken()
        self._cache = cache
        self._audit = audit
        self._resync_seconds = settings.resync_seconds
        self._health = health
        self._telemetry = telemetry
        self._index = ModelIndex()
        self._builds = BuildIndex()
        self._threads = concurrent.futures.ThreadPoolExecutor(settings.workers + 1, thread_name_prefix="reconcile")
        self._queue = WorkQueue(self._work, settings.workers)
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        telemetry.follow(self)

    def start(self) -> None:
        """Begin to work, in the running event loop."""
        self._tasks = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("queue", self._run_queue()),
                ("resync", self._resync_forever()),
                ("audit", self._audit_forever()),
                ("signs of life", self._note_life()),
            )
        ]

    async def stop(self) -> None:
        """Start nothing more, and give what runs a few seconds to end."""
        self._stopping.set()
        self._queue.stop()
        queue, *others = self._tasks
        for task in others:
            task.cancel()
        await asyncio.wait([queue], timeout=STOP_SECONDS)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def note_model(self, body: Object, *, deleted: bool) -> None:
        """The watch told of a model: look at it, unless it was our own status, and at what is measured against it."""
        key = model_key(body)
        self._cache.note_told(body, deleted=deleted)
        if self._index.note_event(body, deleted=deleted):
            self._queue.add(key)
        for dependent in self._index.dependents(key):
            self._queue.add(dependent, CHILD_DELAY_SECONDS)

    def note_child(self, body: Object, *, deleted: bool, listed: bool) -> None:
        """The watch told of something that was made for models: look at them.

        Args:
            body: of the child.
            deleted: whether it is gone.
            listed: whether the watch has begun, or begun anew, and this is how it found the child.
        """
        news = self._cache.note_told(body, deleted=deleted)
        if body["kind"] == "Job":
            self._builds.note_event(body, deleted=deleted)
        for key in parse_owner_keys(body) if news or not listed else ():
            self._queue.add(key, CHILD_DELAY_SECONDS)

    async def audit(self, *, incomplete_only: bool = False) -> bool:
        """Compare what the watch told with what is there, and look at the models that it did not tell of.

        Returns:
            Whether the watch has delivered everything that was there when it began.

        Raises:
            ModelOperatorError: when nothing can be listed.
        """
        note_listed = self._health.note_listed
        try:
            findings = await self._in_thread(
                lambda: self._audit.check(incomplete_only=incomplete_only, note_listed=note_listed)
            )
        except ModelOperatorError as error:
            # kopf gives its watches up then, and does not begin them anew with a later token.
            self._health.note_failure("the token is not taken" if isinstance(error, TokenError) else "")
            raise
        for body in findings.gone:
            index = self._builds if body["kind"] == "Job" else self._index
            index.note_event(body, deleted=True)
        for key in findings.changed:
            self._queue.add(key)
        self._telemetry.last_audit.set_to_current_time()
        self._health.note_audit(self._cache.lag.find_problem())
        return findings.complete

    def queue_depth(self) -> int:
        """See `Standing`."""
        return self._queue.depth

    def queue_age_seconds(self) -> float:
        """See `Standing`."""
        return self._queue.age_seconds

    def models_by_ready(self) -> Mapping[str, int]:
        """See `Standing`."""
        return self._index.count_ready()

    def builds_by_state(self) -> Mapping[str, int]:
        """See `Standing`."""
        return self._builds.count()

    def models(self) -> Iterable[ModelStanding]:
        """See `Standing`."""
        return [
            ModelStanding(
                *key, each.ready == "true", each.revision, each.baseline, each.artifact_bytes, dict(each.savings)
            )
            for key, each in self._index.list_facts()
        ]

    def cached_by_kind(self) -> Mapping[str, int]:
        """See `Standing`."""
        return dict.fromkeys(WATCHED_KINDS, 0) | self._cache.count()

    def watch_events_by_kind(self) -> Mapping[str, int]:
        """See `Standing`."""
        return dict.fromkeys(WATCHED_KINDS, 0) | self._cache.lag.events()

    def watch_silent_seconds_by_kind(self) -> Mapping[str, float]:
        """See `Standing`."""
        return self._cache.lag.silent_seconds()

    def watch_lag_seconds_by_kind(self) -> Mapping[str, float]:
        """See `Standing`."""
        return {kind: self._cache.lag.age_seconds(kind) for kind in WATCHED_KINDS}

    async def _run_queue(self) -> None:
        """Work, as soon as the watch has delivered what is there, or delivers nothing more; then by asking."""
        known, deadline, begun = -1, 0.0, time.monotonic()
        while not await self._is_delivered():
            now = time.monotonic()
            self._health.note_queue()
            if len(self._cache) != known:
                known, deadline = len(self._cache), now + START_SECONDS
            elif now > deadline:
                break
            # Lists of much take long, and the more of them the later the watch's own are read.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), max(_START_PAUSE_SECONDS, now - begun))
                return
            begun = time.monotonic()
        await self._queue.run()

    async def _is_delivered(self) -> bool:
        try:
            return await self.audit(incomplete_only=True)
        except ModelOperatorError as error:
            _log.warning("nothing could be listed: %s", error)
            return False

    async def _audit_forever(self) -> None:
        """Audit every minute, of many namespaces more seldom, and when what the watch should tell is overdue."""
        period = pause = self._audit.plan_seconds(self._resync_seconds)
        while True:
            overdue = self._cache.lag.seconds_to_overdue()
            await asyncio.sleep(pause if overdue is None else min(pause, max(_RETRY_SECONDS, overdue)))
            try:
                await self.audit()
                pause = period
            except ModelOperatorError as error:
                _log.warning("nothing could be listed: %s", error)
                pause = min(_RETRY_SECONDS, period)

    async def _resync_forever(self) -> None:
        """Look at every model again and again, whatever the watch says, spread over the time."""
        while True:
            await asyncio.sleep(self._resync_seconds)
            for key in self._index.list_keys():
                self._queue.add(key, random.uniform(0, self._resync_seconds), changed=False)  # noqa: S311 - no secret

    async def _note_life(self) -> None:
        """Hand the queue's signs of life on; a queue that died gives none, and the operator is restarted.

        Before it begins everything is listed, which may take long: then the lists tell whether that goes on.
        """
        last = None
        while True:
            is_beginning = self._queue.turned_at is None and not self._tasks[0].done()
            if self._queue.turned_at != last or is_beginning:
                last = self._queue.turned_at
                self._health.note_queue()
            await asyncio.sleep(1)

    async def _work(self, key: Key) -> float | None:
        begun = time.monotonic()
        try:
            plan = await self._in_thread(lambda: self._pass(key))
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

    def _pass(self, key: Key) -> Plan | None:
        with trace_pass(*key, self._index.generation(key)) as note_result:
            plan = reconcile(*key, self._sources, datetime.now(UTC), self._untaken)
            note_result("gone" if plan is None else "done")
            return plan

    async def _in_thread(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def log_plan(key: Key, plan: Plan) -> None:
    """Tell what a pass did and why; a pass that wrote nothing is told at DEBUG only."""
    wrote = plan.create or plan.adopt or plan.apply or plan.delete or plan.leave or plan.scale is not None
    for reason in plan.reasons:
        _log.log(logging.INFO if wrote else logging.DEBUG, "%s: %s", "/".join(key), reason)
