"""`modelpress-bench startup`: what is started in which order, and what is made of times that nobody measured."""

import itertools
import json

import pytest
from cluster.client import Client
from cluster.processes import ClusterError

from load.arguments import make_parser, make_startup_plan
from load.configurations import PlanError, render_alone
from load.deploying import Scene
from load.experiment import main
from load.journal import Journal
from load.kpis import PrometheusPlace
from load.pod_times import PodTimes, PodWatch, Tracker
from load.report.sections import render_scaling
from load.results import Provenance, Results, ResultsError, read_results, require_facts
from load.start_plan import (
    Link,
    Start,
    compare,
    judge_times,
    list_left,
    list_missed,
    render_entry,
    render_start,
    require_alike,
    tell_server,
)
from load.starting import Startup, is_ready_to_stay, render_selector
from load.store_link import parse_speed, render_environment, render_shaping
from model_operator.api.v1alpha1 import CompressedModel

SHAPED, UNSHAPED = Link(100.0), Link(None)
DIGEST = f"sha256:{'a' * 64}"


def make_plan(*arguments):
    return make_startup_plan(make_parser().parse_args(["startup", *arguments]))


def provenance():
    return Provenance(
        command="test", started_at="now", commit="0", dirty=False, seed=0, hardware="h", cores=2, memory_gi_b=8.0,
        kernel="6", versions={}, cluster="none", data="d", conditions={"cpuLimit": "1", "memoryLimit": "2Gi"},
    )  # fmt: skip


def made(block, seconds, void=None):
    """A start whose pod took that long."""
    times = PodTimes("pod", 1000.0, 1000.5, 1002.0, 1000.0 + seconds)
    return render_start(block, times, 1000.25 + seconds) | {"void": void}


def entry(configuration, link, *starts, digest=DIGEST):
    name = Start(configuration, link, 0).entry
    facts = {"configuration": configuration, "artifactBytes": 1, "weights": digest, "image": "i"}
    return render_entry(name, facts, {"link": link.name, "measuredMegabitsPerSecond": 94.0}, starts)


def make_entries(plan, *, ours, flask, plain=10.0):
    """Two blocks of each over each link; an unshaped one takes two seconds less."""
    seconds = {"vgg16-a0-b32": plain, "vgg16-a125-b8": ours, "vgg16-flask": flask}
    return compare(
        plan,
        [
            entry(name, link, *(made(block, taken - (0 if link == SHAPED else 2)) for block in range(3)))
            for (name, taken), link in itertools.product(seconds.items(), plan.links)
        ],
    )


def test_each_configuration_is_started_over_both_links_in_each_block_in_another_order():
    plan = make_plan("--blocks", "3")
    order = plan.order()
    blocks = [order[begin : begin + 6] for begin in (0, 6, 12)]
    pairs = {(name, link) for name in ("vgg16-a0-b32", "vgg16-a125-b8", "vgg16-flask") for link in (SHAPED, UNSHAPED)}
    for number, block in enumerate(blocks):
        assert {(start.configuration, start.link) for start in block} == pairs
        assert {start.block for start in block} == {number}
    assert len({tuple((start.configuration, start.link) for start in block) for block in blocks}) > 1
    assert order == make_plan("--blocks", "3").order()
    assert order != make_plan("--blocks", "3", "--seed", "1").order()


def test_the_short_form_is_of_the_digits_without_a_baseline():
    plan = make_plan("--short")
    assert [each.name for each in plan.configurations()] == ["digits-a0-b32-started", "digits-a125-b8-started"]
    assert len(plan.order()) == 8
    assert plan.order()[0].link.name in {"100 Mbit/s (tc tbf)", "an unshaped link"}


def test_ours_may_have_channels_that_are_pruned_as_a_whole():
    plan = make_plan("--channel-sparsity", "0.5", "--baselines", "")
    assert [each.name for each in plan.configurations()] == ["vgg16-a0-b32-started", "vgg16-a125-b8-c50-started"]
    assert plan.configurations()[1].source == plan.ours.name == "vgg16-a125-b8-c50"
    for share in ("1", "-0.1", "half"):
        with pytest.raises(SystemExit):
            make_plan("--channel-sparsity", share)


def test_another_cluster_is_refused_since_its_links_are_not_ours(tmp_path, capsys):
    with pytest.raises(PlanError, match="leave --context out"):
        make_plan("--context", "current")
    assert main(["startup", "--context", "current", "-o", str(tmp_path)]) == 1
    assert "leave --context out" in capsys.readouterr().err


def test_the_operator_takes_a_copy_whose_artifact_is_in_the_bucket():
    plan = make_plan()
    for planned in plan.configurations()[:2]:
        manifest = render_alone(planned, plan.limits, {"uri": "s3://artifacts/a.zip", "digest": DIGEST})
        manifest["metadata"] |= {"namespace": "load", "uid": "1", "generation": 1}
        model = CompressedModel.model_validate(manifest)
        assert (model.spec.source.artifact.uri, model.spec.baseline) == ("s3://artifacts/a.zip", None)
        assert model.spec.replicas == 1
    assert render_selector(plan.configurations()[2]) == "app.kubernetes.io/instance=vgg16-flask-started"


def event(kind, uid="new", *, ready=None, scheduled=False, unpacked=None, address=""):
    conditions = [{"type": "PodScheduled", "status": "True"}] if scheduled else []
    if ready is not None:
        conditions.append({"type": "Ready", "status": "True", "lastTransitionTime": ready})
    ended = {"terminated": {"exitCode": unpacked}} if unpacked is not None else {"running": {}}
    status = {"conditions": conditions, "podIP": address, "initContainerStatuses": [{"state": ended}]}
    metadata = {"name": f"pod-{uid}", "uid": uid, "creationTimestamp": "1970-01-01T00:16:40Z"}
    return {"type": kind, "object": {"metadata": metadata, "status": status}}


def test_a_pod_that_is_new_is_timed_by_the_events_of_the_watch():
    tracker = Tracker({"old"})
    tracker.note(event("MODIFIED", "old", ready="1970-01-01T00:16:39Z"), 999.0)
    assert tracker.times is None
    tracker.note(event("ADDED"), 1000.4)
    tracker.note(event("ADDED", "another"), 1000.5)
    tracker.note(event("MODIFIED", scheduled=True, unpacked=1), 1000.6)
    tracker.note(event("MODIFIED", scheduled=True, unpacked=0, address="10.0.0.9"), 1003.0)
    tracker.note(event("MODIFIED", scheduled=True, unpacked=0, ready="1970-01-01T00:16:45Z"), 1005.7)
    tracker.note(event("DELETED", ready="1970-01-01T00:16:45Z"), 1009.0)
    found = tracker.times
    assert (found.name, found.address) == ("pod-new", "10.0.0.9")
    moments = found.created_unix, found.scheduled_unix, found.unpacked_unix, found.ready_unix
    assert moments == (1000.4, 1000.6, 1003.0, 1005.7)
    assert (found.created_stamp, found.ready_stamp) == (1000, 1005)
    assert judge_times(found) is None
    start = render_start(2, found, 1005.9, "today")
    assert start == {
        "block": 2, "session": "today", "readySeconds": 5.3, "scheduledToReadySeconds": 5.1, "unpackedSeconds": 2.6,
        "firstAnswerSeconds": 5.5, "void": None,
    }  # fmt: skip


def test_a_pod_that_goes_before_it_is_ready_and_a_watch_that_fails_are_errors():
    tracker = Tracker(())
    tracker.note(event("ADDED"), 1.0)
    with pytest.raises(ClusterError, match="pod-new was taken away"):
        tracker.note(event("DELETED"), 2.0)
    with pytest.raises(ClusterError, match="too old resource version"):
        tracker.note({"type": "ERROR", "object": {"message": "too old resource version"}}, 3.0)


@pytest.mark.parametrize(
    ("stamps", "words"),
    [
        ({"created_stamp": 1000.0, "ready_stamp": 1004.1}, None),
        ({"created_stamp": 996.5, "ready_stamp": 1005.0}, "pod's creation 3.5 s after"),
        ({"created_stamp": 1000.0, "ready_stamp": 1001.0}, "pod's readiness 4.0 s after"),
    ],
)
def test_a_watch_that_told_late_makes_a_start_void(stamps, words):
    found = judge_times(PodTimes("pod", 1000.0, 1000.1, 1002.0, 1005.0, **stamps))
    assert found is None if words is None else words in found


def test_void_starts_are_made_once_more_and_in_no_figure():
    late = made(0, 50.0, void="late")
    told = entry("vgg16-a0-b32", SHAPED, late, made(0, 4.0), made(1, 6.0), made(2, 9.0))
    assert (told["readySeconds"], told["readyFromTo"], told["counted"]) == (6.0, "4.00 to 9.00", 3)
    assert told["firstAnswerSeconds"] == 6.25
    assert entry("vgg16-a0-b32", SHAPED, late)["readySeconds"] is None
    order = [Start("vgg16-a0-b32", SHAPED, block) for block in range(4)]
    assert list_left(order, [told], 2) == [order[3]]
    assert list_left(order, [entry("vgg16-a0-b32", SHAPED, late)], 2) == order
    assert list_left(order, [entry("vgg16-a0-b32", SHAPED, late, late)], 2) == order[1:]
    assert list_left(order, [entry("vgg16-a0-b32", UNSHAPED, made(0, 1.0))], 2) == order


def test_the_target_is_judged_against_flask_behind_the_shaped_link_alone():
    plan = make_plan()
    found = {each["name"]: each for each in make_entries(plan, ours=4.0, flask=24.0)}
    judged = found["vgg16-flask over 100 Mbit/s (tc tbf)"]
    assert (judged["timesSooner"], judged["verdict"]) == (6.0, "met, at least 5x is wanted")
    assert judged["smallestIsSooner"] == "6.00x (6.00 to 6.00)"
    assert found["vgg16-a0-b32 over 100 Mbit/s (tc tbf)"]["timesSooner"] == 2.5
    assert found["vgg16-flask over an unshaped link"]["timesSooner"] == 11.0
    stated = [name for name, each in found.items() if each.get("verdict") == "stated"]
    assert len(stated) == 3
    assert "verdict" not in found["vgg16-a125-b8 over 100 Mbit/s (tc tbf)"]
    assert list_missed(plan, list(found.values()), []) == []


def test_starts_of_two_sessions_are_no_pairs():
    """A block that was ended in its middle and gone on with days later."""
    plan = make_plan()
    ours = entry("vgg16-a125-b8", SHAPED, made(0, 4.0), made(1, 4.0) | {"session": "friday"})
    flask = entry("vgg16-flask", SHAPED, made(0, 24.0), made(1, 80.0) | {"session": "monday"})
    (judged,) = (each for each in compare(plan, [ours, flask]) if "verdict" in each)
    assert judged["timesSooner"] == 6.0
    assert list_missed(plan, [judged], []) == []


def test_what_was_not_reached_or_not_made_is_told():
    plan = make_plan()
    entries = make_entries(plan, ours=4.0, flask=16.0)
    flask = "vgg16-flask over 100 Mbit/s (tc tbf)"
    assert list_missed(plan, entries, []) == [f"{flask}: (1.25, 8) is ready 4.00x (4.00 to 4.00) sooner"]
    void = [entry("vgg16-a125-b8", SHAPED, made(0, 1.0, void="late"), made(0, 1.0, void="late"))]
    assert list_missed(plan, compare(plan, void), ["start of x"]) == [
        "start of x: not made",
        "vgg16-a125-b8 over 100 Mbit/s (tc tbf): block 0 is void each time",
    ]


def test_the_report_has_a_row_an_entry_and_says_not_run_where_there_is_no_figure():
    plan = make_plan()
    entries = [*make_entries(plan, ours=4.0, flask=24.0), entry("vgg16-a0-b32", Link(5.0))]
    page = render_scaling(Results(provenance=provenance(), startup=entries), {})
    assert "6.00x (6.00 to 6.00)" in page
    assert "vgg16-flask over 100 Mbit/s (tc tbf)" in page
    assert page.count('class="missing">not run') == 5


def test_starts_of_another_artifact_are_not_put_together():
    told = entry("vgg16-a0-b32", SHAPED, made(0, 4.0))
    facts = {name: told[name] for name in ("configuration", "artifactBytes", "weights", "image")}
    require_facts(told, facts, "measured")
    with pytest.raises(ResultsError, match=r"with weights 'sha256:a+', not 'others': name another folder"):
        require_facts(told, facts | {"weights": "others"}, "measured")


def test_starts_of_another_server_before_flask_are_not_put_together():
    plan, other = make_plan(), make_plan("--flask-server", "gunicorn")
    ours, _, flask = plan.configurations()
    assert tell_server(plan, ours) == {}
    known = entry("vgg16-flask", SHAPED, made(0, 20.0)) | tell_server(plan, flask)
    require_alike(plan, [known])
    require_alike(other, [entry("vgg16-a0-b32", SHAPED, made(0, 4.0))])
    with pytest.raises(ResultsError, match="with flaskServer 'flask', not 'gunicorn': name another folder"):
        require_alike(other, [known])
    require_alike(make_plan("--flask-server", "gunicorn", "--baselines", ""), [known])


def test_a_pod_stays_when_it_is_ready_and_nobody_ends_it():
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert is_ready_to_stay({"metadata": {}, "status": ready})
    assert not is_ready_to_stay({"metadata": {"deletionTimestamp": "now"}, "status": ready})
    assert not is_ready_to_stay({"metadata": {}})


def test_a_link_is_shaped_by_a_token_bucket_and_its_speed_is_in_megabits():
    told = " ".join(render_shaping("store0", 100.0))
    assert told == "tc qdisc replace dev store0 root tbf rate 100000kbit burst 64kb latency 50ms"
    assert parse_speed({"bytes": 25_000_000, "seconds": 2.0}) == 100.0
    assert render_environment("http://198.51.100.2:9000")["AWS_ENDPOINT_URL"] == "http://198.51.100.2:9000"


def fake_kubectl(folder, *events, then):
    """A kubectl whose list has one pod, and whose watch tells these events and then does what is told."""
    (folder / "list").write_text(
        json.dumps({"metadata": {"resourceVersion": "7"}, "items": [event("", "old")["object"]]})
    )
    (folder / "events").write_text("".join(json.dumps(each) + "\n" for each in events))
    program = folder / "kubectl"
    watch = f"*'watch=true&resourceVersion=7') cat {folder}/events; {then};;"
    program.write_text(f'#!/bin/sh\ncase "$*" in\n{watch}\n*) cat {folder}/list;;\nesac\n')
    program.chmod(0o755)
    return Client(folder, folder / "kubeconfig")


def test_a_watch_gives_the_new_pod_once_it_is_ready(tmp_path):
    told = event("ADDED"), event("MODIFIED", "old"), event("MODIFIED", ready="1970-01-01T00:16:45Z", scheduled=True)
    client = fake_kubectl(tmp_path, *told, then="exec sleep 60")
    moments = itertools.count(1001.0)
    with PodWatch(client, "load", "a=b", clock=lambda: next(moments)) as watch:
        found = watch.wait_until_ready(20)
    assert (found.name, found.created_unix, found.scheduled_unix, found.ready_unix) == ("pod-new", 1001, 1003, 1003)


@pytest.mark.parametrize(
    ("then", "seconds", "words"),
    [
        ("exec sleep 60", 0.3, "no new pod is Ready after 0 s; last seen: PodTimes"),
        ("exit 0", 20, "watch of pods ended"),
    ],
)
def test_a_watch_that_tells_of_no_ready_pod_is_an_error(tmp_path, then, seconds, words):
    with (
        PodWatch(fake_kubectl(tmp_path, event("ADDED"), then=then), "load", "a=b") as watch,
        pytest.raises(ClusterError, match=words),
    ):
        watch.wait_until_ready(seconds)


def make_startup(path, tried):
    """A conductor whose cluster has everything; its first start is void."""

    class Made(Startup):
        def prepare(self):
            for each in self.plan.configurations():
                name = each.name.removesuffix("-started")
                self._facts[name] = {"configuration": name, "artifactBytes": 1, "weights": DIGEST, "image": "i"}
            self._speeds |= dict.fromkeys((link.name for link in self.plan.links), 90.0)

        def start(self, start, planned, _asker):
            assert planned.name == f"{start.configuration}-started"
            tried.append(start)
            return made(start.block, 2.0 + start.block, void="late" if len(tried) == 1 else None)

        def clear(self):
            tried.append("cleared")

    scene = Scene(None, "load", "no cluster", PrometheusPlace("system", "prometheus:9090"))
    return Made(scene, make_plan("--short"), Journal(path, provenance(), scenarios=True), None, path.parent, print)


def test_a_void_start_is_made_once_more_and_what_is_known_is_not_made_again(tmp_path):
    tried, path = [], tmp_path / "results.json"
    startup = make_startup(path, tried)
    assert startup.conduct() == []
    order = startup.plan.order()
    assert tried == [order[0], *order, "cleared"]
    found = {each["name"]: each for each in read_results(path).startup}
    pairs = [f"{name} over {link.name}" for link in startup.plan.links for name in ("digits-a0-b32", "digits-a125-b8")]
    assert list(found) == pairs
    assert [len(each["starts"]) for each in found.values()].count(3) == 1
    assert all(each["counted"] == 2 and each["readySeconds"] == 2.5 for each in found.values())
    assert found["digits-a0-b32 over an unshaped link"]["verdict"] == "stated"
    assert read_results(path).provenance.finished_at is not None
    assert make_startup(path, tried).conduct() == []
    assert len(tried) == len(order) + 2


def test_known_starts_of_another_server_before_flask_are_refused_before_anything_is_started(tmp_path):
    startup = make_startup(tmp_path / "results.json", tried := [])
    startup.plan = make_plan("--flask-server", "gunicorn")
    known = entry("vgg16-flask", SHAPED, *(made(block, 20.0) for block in range(5)))
    startup.journal.put_startup([known | {"flaskServer": "flask"}])
    with pytest.raises(ResultsError, match="with flaskServer 'flask', not 'gunicorn'"):
        startup.conduct()
    assert tried == []


def test_only_what_is_left_is_started(tmp_path):
    tried, path = [], tmp_path / "results.json"
    startup = make_startup(path, tried)
    startup.prepare()
    for start in startup.plan.order()[:5]:
        startup.note(start, made(start.block, 3.0))
    again = make_startup(path, tried)
    again.conduct()
    assert tried == [again.plan.order()[5], *again.plan.order()[5:], "cleared"]
