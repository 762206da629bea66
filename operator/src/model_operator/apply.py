"""Carries out a plan: creates, adopts, applies, scales, deletes, leaves, in this order; then tells. Decides nothing."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from model_operator import names
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.errors import ClusterError, RefusedError
from model_operator.kube import Kube
from model_operator.observation import Object
from model_operator.planning.decision import Plan, Reference, Refusal
from model_operator.planning.report import Report

_FOREIGN = "an object of that name is there that Modelpress did not make: delete or rename it"

MOST_UNTOLD: Final = 1000
"""Events that are kept until the API server takes them, some MiB at most; the oldest ones give way."""
UNTOLD_SECONDS: Final = 3600.0
"""Kubernetes itself forgets an Event after so long."""
FIRST_PAUSE_SECONDS: Final = 2.0
LONGEST_PAUSE_SECONDS: Final = 300.0

_log = logging.getLogger(__name__)


class _Write(NamedTuple):
    kind: str
    name: str
    run: Callable[[], None]


def apply(plan: Plan, model: CompressedModel, uid: str, kube: Kube) -> tuple[Refusal, ...]:
    """Write what the plan asks for, all but the status.

    What the API server refuses is returned, and the rest is done, but an object that was refused is not scaled.

    Raises:
        ClusterError: when the API server does not answer; what was written so far stays, and the next pass goes on.
    """
    refusals: dict[tuple[str, str], Refusal] = {}
    for kind, name, run in _writes(plan, model, uid, kube):
        if (kind, name) in refusals:
            continue
        try:
            run()
        except RefusedError as error:
            refusals[kind, name] = Refusal(kind, name, str(error), invalid=error.invalid)
    return tuple(refusals.values())


class _Kept(NamedTuple):
    event: Object
    since: float


class _Pause(NamedTuple):
    until: float
    seconds: float


class Untold:
    """Events that the API server has not taken yet: kept in memory, and told when their model is looked at again.

    A namespace in which one was not taken is left alone for a while, and ever longer, so that a right that is missing
    costs next to nothing. Safe to use from several threads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is untold yet."""
        self._clock = clock
        self._lock = threading.Lock()
        # By uid of the model and name of the Event, the oldest first.
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._pauses: dict[str, _Pause] = {}

    def __len__(self) -> int:
        """Events that are kept."""
        return len(self._kept)

    def tell(self, kube: Kube, namespace: str, uid: str, events: Sequence[Object]) -> None:
        """Create these Events, and before them those of the same model that are kept; what is not taken is kept.

        One that is there already was told. One that the API server finds invalid would never be taken, and is dropped.
        """
        for event in self._join(namespace, uid, events):
            try:
                kube.create(namespace, event)
            except (ClusterError, RefusedError) as error:
                if not isinstance(error, RefusedError) or not error.invalid:
                    self._pause(namespace, error)
                    return
                _log.warning("%s: an Event is not taken, and not told: %s", namespace, error)
            with self._lock:
                self._pauses.pop(namespace, None)
                self._kept.pop((uid, event["metadata"]["name"]), None)

    def _join(self, namespace: str, uid: str, events: Sequence[Object]) -> Sequence[Object]:
        """Keep these as well; all that may be told now of that model."""
        with self._lock:
            now = self._clock()
            for event in events:
                key = uid, event["metadata"]["name"]
                # Of one that is told anew the first telling has the right time.
                self._kept[key] = _Kept(self._kept.pop(key, _Kept(event, now)).event, now)
            while self._kept and (
                len(self._kept) > MOST_UNTOLD or now - next(iter(self._kept.values())).since > UNTOLD_SECONDS
            ):
                self._kept.popitem(last=False)
            pause = self._pauses.get(namespace)
            if pause is not None and now < pause.until:
                return ()
            return [kept.event for (owner, _), kept in self._kept.items() if owner == uid]

    def _pause(self, namespace: str, error: ClusterError | RefusedError) -> None:
        with self._lock:
            now = self._clock()
            self._pauses = {name: each for name, each in self._pauses.items() if now < each.until + UNTOLD_SECONDS}
            before = self._pauses.get(namespace)
            seconds = min(2 * before.seconds, LONGEST_PAUSE_SECONDS) if before is not None else FIRST_PAUSE_SECONDS
            asked = getattr(error, "retry_after_seconds", None) or 0.0
            self._pauses[namespace] = _Pause(now + max(seconds, asked), seconds)
        _log.warning("%s: Events are not taken, and tried again in %.0f s: %s", namespace, max(seconds, asked), error)


def write_report(report: Report, body: Object, kube: Kube, untold: Untold) -> None:
    """Write the status, at most once, and before it the Events of what it changes.

    In this order nothing is lost where the operator ends between them: the next pass finds the old status, and makes
    the Events again, which are there already. No pass fails for an Event that cannot be written.

    Raises:
        ClusterError: when the API server does not answer to the status.
        RefusedError: when it does not take the status.
    """
    metadata = body["metadata"]
    untold.tell(kube, metadata["namespace"], metadata["uid"], report.events)
    if report.status is not None:
        kube.write_status(metadata["namespace"], metadata["name"], metadata["uid"], report.status)


def _writes(plan: Plan, model: CompressedModel, uid: str, kube: Kube) -> Iterator[_Write]:
    namespace, model_name = model.metadata.namespace, model.metadata.name
    owner = {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": model_name, "uid": uid}
    for body in plan.create:
        yield _Write(body["kind"], body["metadata"]["name"], partial(_create, kube, namespace, body))
    for kind, name in ((each.kind, each.name) for each in plan.adopt):
        yield _Write(kind, name, partial(kube.add_owner, kind, namespace, name, owner))
    for body in plan.apply:
        yield _Write(body["kind"], body["metadata"]["name"], partial(kube.apply, namespace, body))
    if plan.scale is not None:
        yield _Write("Deployment", model_name, partial(kube.scale, namespace, model_name, plan.scale))
    for reference in plan.delete:
        yield _Write(reference.kind, reference.name, partial(_delete, kube, namespace, reference, uid))
    for kind, name in ((each.kind, each.name) for each in plan.leave):
        yield _Write(kind, name, partial(kube.leave, kind, namespace, name, uid))


def _create(kube: Kube, namespace: str, body: Object) -> None:
    """Make a shared object, or leave the one that another model made since it was looked for."""
    kind, name = body["kind"], body["metadata"]["name"]
    if kube.create(namespace, body):
        return
    there = kube.read(kind, namespace, name)
    if there is not None and (there["metadata"].get("labels") or {}).get(names.LABEL_MANAGED_BY) != names.MANAGED_BY:
        raise RefusedError(f"{kind} {name}: {_FOREIGN}", invalid=True)


def _delete(kube: Kube, namespace: str, reference: Reference, uid: str) -> None:
    """Delete the object while the model of this uid controls it."""
    there = kube.read(reference.kind, namespace, reference.name)
    if there is None:
        return
    owners = there["metadata"].get("ownerReferences") or ()
    if any(each.get("uid") == uid and each.get("controller") for each in owners):
        kube.delete(reference.kind, namespace, reference.name, there["metadata"]["uid"])
