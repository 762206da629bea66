"""`modelpress-bench density`: what each model asks for, what a quota has room for, and what is counted."""

from contextlib import nullcontext
from dataclasses import replace
from decimal import Decimal

import pytest
from cluster.processes import ClusterError

from load.arguments import make_density_plan, make_parser
from load.configurations import Limits, PlanError, Planned, render_alone
from load.density import Density, is_numbered, render_baseline
from load.deploying import Scene
from load.journal import Journal
from load.kpis import PrometheusPlace
from load.node_cap import (
    Amounts,
    add_requests,
    compare,
    find_pod_requests,
    is_enforced,
    judge_standing,
    list_missed,
    plan_fit,
    plan_memory_request,
    plan_names,
    render_entry,
    render_quota,
    require_alike,
)
from load.results import Provenance, ResultsError, read_results
from model_operator.api.v1alpha1 import CompressedModel

GIB = 2**30
POD = Amounts(Decimal("0.1"), Decimal(128 * 2**20))


def make_plan(*arguments):
    return make_density_plan(make_parser().parse_args(["density", *arguments]))


def container(cpu=None, memory=None):
    stated = {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value}
    return {"resources": {"requests": stated}} if stated else {}


def entry(plan, name, answered, *, stopped="exceeded quota", ready=None, pod=POD):
    facts = {
        "configuration": name, "weights": "untrained", "workingSetMebibytes": 40.0, "memoryRequest": "50Mi",
        "podRequests": pod,
    }  # fmt: skip
    found = {"applied": answered + 1, "ready": answered if ready is None else ready, "answered": answered}
    return render_entry(plan, facts, found | {"stoppedBy": stopped, "usedMebibytes": 800.0})


def test_the_node_is_of_two_processors_and_four_gigabytes_unless_another_is_named():
    plan = make_plan()
    assert plan.cap == Amounts(Decimal(2), Decimal(4 * 10**9))
    assert plan.describe_cap() == "a ResourceQuota of 2 CPU and 4G memory, requested"
    assert [each.name for each in plan.kinds()] == ["vgg16-flask", "vgg16-a0-b32", "vgg16-a125-b8"]
    assert [each.name for each in make_plan("--channel-sparsity", "0.5").kinds()][-1] == "vgg16-a125-b8-c50"
    short = make_plan("--short")
    assert [each.name for each in short.kinds()] == ["digits-a0-b32", "digits-a125-b8"]
    assert short.cap.cpu_cores == Decimal("0.5")
    with pytest.raises(PlanError, match="'much' is no amount"):
        make_plan("--node-memory", "much")


def test_a_model_requests_its_working_set_and_the_headroom_in_whole_mebibytes():
    assert plan_memory_request(40 * 2**20, 25) == "50Mi"
    assert plan_memory_request(40 * 2**20 + 1, 25) == "51Mi"
    assert plan_memory_request(40 * 2**20, 50) == "60Mi"


def test_a_pod_requests_the_larger_of_its_containers_together_and_its_largest_init_container():
    spec = {"initContainers": [container("100m", "16Mi"), container("50m", "128Mi")]}
    one, two = container("20m", "50Mi"), container("70m", "200Mi")
    assert find_pod_requests({**spec, "containers": [one]}) == Amounts(Decimal("0.1"), Decimal(128 * 2**20))
    assert find_pod_requests({**spec, "containers": [two]}) == Amounts(Decimal("0.1"), Decimal(200 * 2**20))
    assert find_pod_requests({**spec, "containers": [one, one, two]}).cpu_cores == Decimal("0.11")
    assert find_pod_requests({"containers": [container()]}) == Amounts(Decimal(0), Decimal(0))


def test_pods_that_ended_take_no_room():
    pods = [
        {"spec": {"containers": [container("1", "1Gi")]}, "status": {"phase": phase}}
        for phase in ("Running", "Pending", "Succeeded", "Failed")
    ]
    assert add_requests(pods) == Amounts(Decimal(2), Decimal(2 * GIB))


def test_the_resource_that_ends_first_says_how_many_fit():
    cap = Amounts(Decimal(2), Decimal(4 * 10**9))
    assert plan_fit(POD, cap) == (20, "CPU")
    assert plan_fit(Amounts(Decimal("0.02"), Decimal(128 * 2**20)), cap) == (29, "memory")
    assert plan_fit(Amounts(Decimal("0.5"), Decimal(0)), cap) == (4, "CPU")
    with pytest.raises(PlanError, match="requests nothing"):
        plan_fit(Amounts(Decimal(0), Decimal(0)), cap)


def test_the_quota_counts_requests_and_holds_once_kubernetes_has_counted():
    quota = render_quota("load", Amounts(Decimal("2.075"), Decimal(4_000_000_000 + 3 * 2**26)))
    assert quota["spec"]["hard"] == {"requests.cpu": "2075m", "requests.memory": "4201326592"}
    assert not is_enforced(quota)
    assert is_enforced({**quota, "status": {"used": {"requests.cpu": "0", "requests.memory": "0"}}})


def test_a_model_is_refused_by_the_quota_or_by_the_scheduler_and_else_waits():
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: modelpress-density"}
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "too many pods"}
    pending = {"status": {"conditions": [unschedulable]}}
    assert judge_standing({"status": {"readyReplicas": 1}}, []).state == "ready"
    refused = judge_standing({"status": {"conditions": [failure]}}, [])
    assert (refused.state, refused.why) == ("refused", "exceeded quota: modelpress-density")
    assert judge_standing({"status": {}}, [pending]).why == "too many pods"
    assert judge_standing({"status": {"conditions": [{**failure, "status": "False"}]}}, []).state == "waiting"
    # many pods at once: the next try may find room
    conflict = {**failure, "message": "the object has been modified; please apply your changes to the latest version"}
    assert judge_standing({"status": {"conditions": [conflict]}}, []).state == "waiting"
    assert judge_standing(None, []).state == "waiting"
    assert judge_standing({}, [{"status": {"phase": "Running"}}]).why == "its pod is not Ready yet"


def test_only_models_that_answer_are_counted_and_the_pods_requests_are_told():
    plan = make_plan()
    found = entry(plan, "vgg16-a125-b8", 18, ready=20)
    assert (found["models"], found["ready"], found["atLeast"]) == (18, 20, False)
    assert (found["podRequests"], found["roomByRequests"]) == ("100m CPU, 128Mi", "20, by CPU")
    assert list_missed(plan, [found], []) == ["vgg16-a125-b8: 2 that are Ready did not answer"]
    most = entry(plan, "vgg16-a125-b8", 60, stopped="")
    assert (most["atLeast"], most["stoppedBy"]) == (True, "60, the most that is tried")


@pytest.mark.parametrize(
    ("flask", "ours", "told", "verdict", "missed"),
    [
        ((7, "quota"), (42, "quota"), "6.00x", "met, at least 6x is wanted", 0),
        ((7, "quota"), (41, "quota"), "5.86x", "missed, at least 6x is wanted", 1),
        ((7, "quota"), (60, ""), "at least 8.57x", "met, at least 6x is wanted", 0),
        ((20, "quota"), (60, ""), "at least 3.00x", "not shown, at least 6x is wanted", 1),
        ((60, ""), (60, ""), None, None, 0),
        ((0, "quota"), (60, ""), None, None, 0),
    ],
)
def test_the_target_is_judged_against_flask(flask, ours, told, verdict, missed):
    plan = make_plan()
    sides = {"vgg16-flask": flask, "vgg16-a0-b32": (20, "quota"), "vgg16-a125-b8": ours}
    found = compare(plan, [entry(plan, name, count, stopped=stopped) for name, (count, stopped) in sides.items()])
    judged, plain, best = found
    assert (judged["smallestAreMore"], judged["verdict"]) == (told, verdict)
    assert plain["verdict"] == "stated"
    assert "verdict" not in best
    assert len(list_missed(plan, found, [])) == missed


def test_counts_of_another_node_are_not_put_beside_these():
    plan = make_plan()
    require_alike(plan, [entry(plan, "vgg16-flask", 7)])
    with pytest.raises(ResultsError, match="with cap 'a ResourceQuota of 2 CPU and 4G memory, requested', not"):
        require_alike(make_plan("--node-memory", "8G"), [entry(plan, "vgg16-flask", 7)])
    require_alike(make_plan("--node-memory", "8G", "--network", "cnn"), [entry(plan, "vgg16-flask", 7)])
    other = make_plan("--flask-server", "gunicorn")
    require_alike(other, [entry(plan, "vgg16-a0-b32", 7)])
    with pytest.raises(ResultsError, match="vgg16-flask was counted with flaskServer 'flask', not 'gunicorn'"):
        require_alike(other, [entry(plan, "vgg16-flask", 7)])


def test_numbered_models_are_told_from_all_others():
    planned = Planned("vgg16-a125-b8", "vgg16", 1.25, 8)
    assert plan_names(planned, 9, 2) == ["vgg16-a125-b8-n009", "vgg16-a125-b8-n010"]
    for name in (*plan_names(planned, 998, 2), "vgg16-a125-b8-n001-5d4f-x2x"):
        assert is_numbered(name, planned)
    for name in ("vgg16-a125-b8", "vgg16-a125-b8-started", "vgg16-a125-b8-n1a-x", "vgg16-a125-b80-n001"):
        assert not is_numbered(name, planned)


def test_a_numbered_model_is_what_the_operator_takes_and_a_numbered_baseline_requests_the_same():
    plan = make_plan()
    limits = Limits(cpu_request="20m", memory_request="51Mi")
    artifact = {"uri": "pvc://modelpress-store/artifacts/a.zip", "digest": f"sha256:{'a' * 64}"}
    manifest = render_alone(replace(plan.kinds()[1], name="vgg16-a0-b32-n001"), limits, artifact)
    manifest["metadata"] |= {"namespace": "load", "uid": "1", "generation": 1}
    model = CompressedModel.model_validate(manifest)
    assert (model.metadata.name, model.spec.baseline) == ("vgg16-a0-b32-n001", None)
    assert str(model.spec.serving.resources.requests["memory"]) == "51Mi"
    unpack = {"name": "unpack", "args": ["unpack", "/store/a.zip", "/models/m/1"]}
    spec = {"containers": [{"name": "server", "resources": {"requests": {"memory": "9Gi"}}}],
            "initContainers": [unpack], "volumes": []}  # fmt: skip
    live = {"spec": {"template": {"spec": spec}}}
    deployment, service = render_baseline(plan, "vgg16-flask-n001", "image", live, limits)
    (server,) = deployment["spec"]["template"]["spec"]["containers"]
    assert server["resources"] == limits.render()
    assert service["metadata"]["name"] == "vgg16-flask-n001"
    assert spec["containers"][0]["resources"]["requests"]["memory"] == "9Gi"


FULL = {"status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]}}


def make_counting(fitting, beyond=FULL):
    """A count whose cluster has everything; so many models become Ready, and the Deployments beyond are so."""

    class Made(Density):
        asked = ()

        def apply(self, _planned, more, *_):
            self.asked = (*self.asked, *more)

        def wait_for(self, wanted):
            ready = {"status": {"readyReplicas": 1}}
            return {name: judge_standing(ready if int(name[-3:]) <= fitting else beyond, []) for name in wanted}

        def read_addresses(self):
            return dict.fromkeys(self.asked, "10.96.0.9")

        def read_working_sets(self, pods):
            assert pods.startswith("digits-a125-b8-n[0-9]+")
            return {f"{name}-pod": 2.0**20 for name in self.asked[:fitting]}

        def ask(self, _asker, name, _address):
            return name != "digits-a125-b8-n003"

    return Made


def begin(tmp_path):
    """A file of results with nothing in it."""
    place = Provenance(
        command="test", started_at="now", commit="0", dirty=False, seed=0, hardware="h", cores=2, memory_gi_b=8.0,
        kernel="6", versions={}, cluster="none", data="d",
    )  # fmt: skip
    return Journal(tmp_path / "results.json", place, scenarios=True)


def fill(tmp_path, *arguments, beyond=FULL):
    class Kubectl:
        def read(self, *arguments):
            assert arguments[:2] == ("deployment", "digits-a125-b8-n001")
            return {"spec": {"template": {"spec": {"containers": [container("20m", "51Mi")]}}}}

    scene = Scene(Kubectl(), "load", "no cluster", PrometheusPlace("system", "prometheus:9090"))
    plan = replace(make_plan("--short", *arguments), settle_seconds=0.0)
    journal = begin(tmp_path)
    made = make_counting(5, beyond)(scene, plan, journal, tmp_path, print)
    return made, made.fill(plan.kinds()[1], Limits(), {"artifact": {}}, None)


def test_models_are_added_until_one_is_refused_and_what_does_not_answer_is_not_counted(tmp_path):
    made, (found, facts) = fill(tmp_path)
    assert made.asked == tuple(f"digits-a125-b8-n{number:03}" for number in range(1, 9))
    assert found == {"applied": 8, "ready": 5, "answered": 4, "stoppedBy": "exceeded quota", "usedMebibytes": 5.0}
    assert facts == {"podRequests": Amounts(Decimal("0.02"), Decimal(51 * 2**20))}


def test_a_model_that_is_late_is_none_that_there_is_no_room_for(tmp_path):
    with pytest.raises(
        ClusterError, match=r"after 180 s digits-a125-b8-n006 is neither Ready nor refused \(it has no pod"
    ):
        fill(tmp_path, beyond={"status": {}})


def test_a_count_that_is_late_each_time_is_left_out_and_one_of_an_older_file_is_judged_no_more(tmp_path, monkeypatch):
    class Late(Density):
        def count(self, planned, _asker):
            raise ClusterError(f"{planned.name} is late")

    monkeypatch.setattr("load.density.deploy", lambda *_, **__: None)
    monkeypatch.setattr("load.density.require_reach", lambda *_: None)
    monkeypatch.setattr("load.density.Asker", lambda _: nullcontext())
    plan = replace(make_plan(), error_seconds=0.0)
    journal = begin(tmp_path)
    counts = {"vgg16-flask": (3, "its pod is not Ready yet"), "vgg16-a0-b32": (20, "q"), "vgg16-a125-b8": (42, "q")}
    older = [entry(plan, name, count, stopped=stopped) for name, (count, stopped) in counts.items()]
    for each in older:
        each.pop("flaskServer", None)
    journal.put_density(compare(plan, older))
    scene = Scene(None, "load", "no cluster", PrometheusPlace("system", "prometheus:9090"))
    assert Late(scene, plan, journal, tmp_path, print).conduct() == ["models a node, vgg16-flask: not made"]
    results = read_results(tmp_path / "results.json")
    assert [each["name"] for each in results.density] == ["vgg16-a0-b32", "vgg16-a125-b8"]
    assert [each.again for each in results.troubles] == [True, True, False]
    assert results.provenance.finished_at is None


def test_no_more_than_the_most_are_tried_and_what_is_known_is_not_counted_again(tmp_path):
    made, (found, _) = fill(tmp_path, "--most", "3")
    assert (len(made.asked), found["stoppedBy"], found["answered"]) == (3, "", 2)
    entries = [entry(made.plan, each.name, 3) for each in made.plan.kinds()]
    made.journal.put_density(compare(made.plan, entries))
    assert made.conduct() == []
    results = read_results(tmp_path / "results.json")
    assert [each["models"] for each in results.density] == [3, 3]
    assert results.provenance.finished_at is not None


def test_the_quota_goes_after_the_models_whatever_becomes_of_them(tmp_path):
    done = []

    class Kubectl:
        def read(self, kind, *_):
            there = ("pods", "cmod") if not done else ()
            names = ["digits-a125-b8", "digits-a125-b8-n001", "digits-a125-b8-n002"]
            return {"items": [{"metadata": {"name": name}} for name in names if kind in there]}

        def run(self, *arguments):
            done.append(arguments[1:4])

    plan = make_plan("--short")
    scene = Scene(Kubectl(), "load", "no cluster", PrometheusPlace("system", "prometheus:9090"))
    Density(scene, plan, None, tmp_path, print).clear(plan.kinds()[1])
    assert done == [
        ("cmod", "digits-a125-b8-n001", "digits-a125-b8-n002"),
        ("resourcequota", "modelpress-density", "-n"),
    ]
