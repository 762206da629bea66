"""A right that is lost while the operator runs: the status says so in the next pass, and not that all is well."""

from datetime import UTC, datetime, timedelta

import pytest
from operator_fakes import refused

from model_operator.errors import RefusedError
from model_operator.measurement import KpiReader
from model_operator.observe import Sources
from model_operator.reconcile import reconcile
from model_operator.settings import Settings
from model_operator.untaken import Untaken

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
WORDS = 'persistentvolumeclaims "modelpress-store" is forbidden: User "modelpress" cannot get resource'


@pytest.fixture
def look(kube):
    """One pass over the model, so many seconds later."""
    sources, untaken = Sources(kube, KpiReader(None, 15), Settings()), Untaken()
    return lambda seconds=0: reconcile("press", "small", sources, NOW + timedelta(seconds=seconds), untaken)


def conditions(kube):
    """Status, reason and message of each condition."""
    status = kube.objects["CompressedModel", "press", "small"]["status"]
    return {each["type"]: (each["status"], each["reason"], each["message"]) for each in status["conditions"]}


def make_ready(kube, body):
    """Have the model there with a status that says that all is well."""
    ready = {"type": "Ready", "status": "True", "reason": "Serving", "message": "Revision 0123456789ab is served."}
    times = {"lastTransitionTime": "2026-03-02T09:00:00Z", "observedGeneration": 1}
    kept = {"type": "ArtifactReady", "status": "True", "reason": "Built", "message": "It is known.", **times}
    kube.put(body | {"status": {"observedGeneration": 1, "conditions": [ready | times, kept]}})


def test_a_read_that_is_refused_makes_ready_unknown_at_once_with_a_remedy(kube, body, look):
    make_ready(kube, body)
    kube.refuse["read", "PersistentVolumeClaim"] = refused(WORDS, invalid=False)
    with pytest.raises(RefusedError, match="is forbidden"):
        look()
    message = (
        f"The operator may not look at this model: {WORDS}. Grant it the rights of its chart again (helm upgrade does; "
        "docs/rights.md lists them); it goes on by itself."
    )
    assert conditions(kube) == {
        "Ready": ("Unknown", "RightsMissing", message),
        "Reconciling": ("True", "RightsMissing", message),
        "Stalled": ("False", "NotStalled", "Nothing needs a change."),
        "ArtifactReady": ("True", "Built", "It is known."),
    }
    assert kube.writes == [("create", "Event", kube.writes[0][2]), ("status", "CompressedModel", "small")]
    (event,) = [each for (kind, _, _), each in kube.objects.items() if kind == "Event"]
    assert (event["type"], event["reason"]) == ("Warning", "NotReady")


def test_it_is_told_once_and_taken_back_when_the_right_is_there_again(kube, body, look):
    make_ready(kube, body)
    kube.refuse["read", "PersistentVolumeClaim"] = refused(WORDS, invalid=False)
    for seconds in (0, 30):
        with pytest.raises(RefusedError):
            look(seconds)
    assert [verb for verb, kind, _ in kube.writes if kind == "CompressedModel"] == ["status"]
    kube.refuse.clear()
    look(60)
    assert conditions(kube)["Ready"][:2] == ("False", "StoreMissing")


def test_a_new_model_that_may_not_be_looked_at_has_a_status_too(kube, body, look):
    kube.put(body)
    kube.refuse["list", "Pod"] = refused("pods is forbidden", invalid=False)
    with pytest.raises(RefusedError):
        look()
    assert conditions(kube)["Ready"][:2] == ("Unknown", "RightsMissing")
