"""Carries out a plan: creates, adopts, applies, scales, deletes, leaves, in this order; then tells. Decides nothing."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from model_operator import names
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.errors import RefusedError
from model_operator.kube import Kube
from model_operator.observation import Object
from model_operator.planning.decision import Plan, Reference, Refusal
from model_operator.planning.report import Report
from model_operator.refused import Asked, Refused, hash_write
from model_operator.untold import Untold

_FOREIGN = "an object of that name is there that Modelpress did not make: delete or rename it"

_log = logging.getLogger(__name__)


class _Write(NamedTuple):
    verb: str
    kind: str
    name: str
    wanted: Any
    run: Callable[[], None]


def apply(plan: Plan, model: CompressedModel, uid: str, kube: Kube, refused: Refused) -> tuple[Refusal, ...]:
    """Write what the plan asks for, all but the status.

    What the API server refuses is returned, and the rest is done, but an object that was refused is not scaled. What it
    refused lately is not asked again before its time, and returned as well.

    Raises:
        ClusterError: when the API server does not answer; what was written so far stays, and the next pass goes on.
    """
    refusals: dict[tuple[str, str], Refusal] = {}
    for write in _writes(plan, model, uid, kube):
        if (write.kind, write.name) not in refusals:
            refusal = _try(write, model, uid, kube, refused)
            if refusal is not None:
                refusals[write.kind, write.name] = refusal
    return tuple(refusals.values())


def _try(write: _Write, model: CompressedModel, uid: str, kube: Kube, refused: Refused) -> Refusal | None:
    """Do the write, unless it was refused lately; the refusal, where there is one."""

    def read_fingerprint() -> str:
        live = kube.read(write.kind, model.metadata.namespace, write.name)
        return hash_write(write.wanted, model.spec.model_dump(mode="json"), live)

    asked = Asked(uid, write.verb, write.kind, write.name)
    held = refused.find(asked, read_fingerprint)
    if held is not None:
        return held
    try:
        write.run()
    except RefusedError as error:
        refusal = Refusal(write.kind, write.name, str(error), invalid=error.invalid)
        return refused.keep(asked, read_fingerprint(), refusal)
    refused.drop(asked)
    return None


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
        yield _Write("create", *_name(body), body, partial(_create, kube, namespace, body))
    for kind, name in ((each.kind, each.name) for each in plan.adopt):
        yield _Write("own", kind, name, None, partial(kube.add_owner, kind, namespace, name, owner))
    for body in plan.apply:
        yield _Write("apply", *_name(body), body, partial(kube.apply, namespace, body))
    if plan.scale is not None:
        replicas = plan.scale
        yield _Write("scale", "Deployment", model_name, replicas, partial(kube.scale, namespace, model_name, replicas))
    for reference in plan.delete:
        run = partial(_delete, kube, namespace, reference, uid)
        yield _Write("delete", reference.kind, reference.name, None, run)
    for kind, name in ((each.kind, each.name) for each in plan.leave):
        yield _Write("leave", kind, name, None, partial(kube.leave, kind, namespace, name, uid))


def _name(body: Object) -> tuple[str, str]:
    return body["kind"], body["metadata"]["name"]


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
