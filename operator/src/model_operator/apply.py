"""Carries out a plan: creates, adopts, applies, scales, deletes, leaves, in this order; then tells. Decides nothing."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from model_operator import names
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.errors import RefusedError
from model_operator.kube import Kube
from model_operator.observation import Object
from model_operator.planning.decision import Plan, Reference, Refusal
from model_operator.planning.report import Report
from model_operator.untold import Untold

_FOREIGN = "an object of that name is there that Modelpress did not make: delete or rename it"

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
