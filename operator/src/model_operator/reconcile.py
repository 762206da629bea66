"""One pass over one CompressedModel: the only place where observing, planning and applying meet."""

from datetime import datetime

from model_operator import names
from model_operator.api.v1alpha1 import parse_model
from model_operator.apply import apply, write_report
from model_operator.errors import InvalidModelError, RefusedError
from model_operator.observe import Sources, observe, observe_invalid
from model_operator.planning.decision import Plan, Refusal
from model_operator.planning.plan import plan, plan_invalid, plan_unseen
from model_operator.planning.refusal import drop_refused
from model_operator.planning.report import plan_report
from model_operator.tracing import traced
from model_operator.untaken import Untaken


def reconcile(namespace: str, name: str, sources: Sources, now: datetime, untaken: Untaken) -> Plan | None:
    """Move the model a step closer to its spec; the plan without what was refused, or None when the model is gone.

    Raises:
        ClusterError, RefusedError: when the API server does not answer or refuses; the status says what is known.
    """
    body = sources.kube.read(names.KIND, namespace, name)
    if body is None or "deletionTimestamp" in body["metadata"]:
        return None
    uid, result, refusals = body["metadata"]["uid"], Plan(), tuple[Refusal, ...]()
    try:
        observation = traced(observe)(model := parse_model(body), body, sources, now)
        result = traced(plan)(model, observation, sources.settings, now)
        refusals = traced(apply)(result, model, uid, sources.kube, untaken.refused)
    except InvalidModelError as error:
        result = plan_invalid(observe_invalid(body), str(error), now)
    except RefusedError as error:
        result = plan_unseen(observe_invalid(body), str(error), now)
        raise
    finally:
        traced(write_report, "status")(plan_report(body, result, refusals, now), body, sources.kube, untaken.untold)
    return drop_refused(result, refusals, body.get("status") or {}, sources.settings) if refusals else result
