"""One pass over one CompressedModel: the only place where observing, planning and applying meet."""

from datetime import datetime

from model_operator import names
from model_operator.api.v1alpha1 import parse_model
from model_operator.apply import apply, write_report
from model_operator.errors import InvalidModelError
from model_operator.observe import Sources, observe, observe_invalid
from model_operator.planning.decision import Plan, Refusal
from model_operator.planning.plan import plan, plan_invalid
from model_operator.planning.report import plan_report
from model_operator.tracing import traced
from model_operator.untold import Untold


def reconcile(namespace: str, name: str, sources: Sources, now: datetime, untold: Untold) -> Plan | None:
    """Move the model a step closer to its spec; None when it is gone, and then there is nothing more to do.

    Raises:
        ClusterError: when the API server does not answer; the status says what was observed all the same.
        RefusedError: when it does not let the operator read, or write the status.
    """
    body = sources.kube.read(names.KIND, namespace, name)
    if body is None or "deletionTimestamp" in body["metadata"]:
        return None
    uid, refusals = body["metadata"]["uid"], tuple[Refusal, ...]()
    result = Plan()
    try:
        model = parse_model(body)
        observation = traced(observe)(model, body, sources, now)
        result = traced(plan)(model, observation, sources.settings, now)
        refusals = traced(apply)(result, model, uid, sources.kube)
    except InvalidModelError as error:
        result = plan_invalid(observe_invalid(body), str(error), now)
    finally:
        traced(write_report, "status")(plan_report(body, result, refusals, now), body, sources.kube, untold)
    return result
