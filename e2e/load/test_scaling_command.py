"""`modelpress-bench scaling`: what it deploys, what it writes, and that it goes on where it was ended."""

import pytest

from load.arguments import make_parser, make_scaling_plan
from load.autoscaled import Scaling, is_active, is_calm, render_autoscaling, render_entry, render_scaled
from load.conducting import Generators
from load.configurations import Limits
from load.deploying import Scene
from load.experiment import main
from load.generating import GeneratorRun
from load.journal import Journal
from load.kpis import PrometheusPlace
from load.profiles import plan_arrivals
from load.report.scaling import Scaling as Told
from load.report.scaling import list_scaling
from load.report.sections import render_scaling
from load.results import Provenance, ResultsError, Run, read_results
from load.samples import make_samples
from model_operator.api.v1alpha1 import CompressedModel

ONE = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "observedGeneration": 2}
CALM = {"metadata": {"generation": 2}, "status": ONE}


def make_plan(*arguments):
    return make_scaling_plan(make_parser().parse_args(["scaling", *arguments]))


def provenance(**changed):
    told = {
        "command": "test", "started_at": "now", "commit": "0", "dirty": False, "seed": 0, "hardware": "h", "cores": 2,
        "memory_gi_b": 8.0, "kernel": "6", "versions": {}, "cluster": "none", "data": "digits",
        "conditions": {"cpuLimit": "1", "memoryLimit": "2Gi"},
    }  # fmt: skip
    return Provenance(**{**told, **changed})


def measure(scenario, *, void=False, failing=""):
    """The entry of a load that was followed."""
    due = plan_arrivals(scenario.make_profile(), 1)
    samples = make_samples((float(t), float(t), 5.0, failing or "200", not failing) for t in due)
    (rise, *_) = scenario.list_rises()
    series = [(0.0, 1), (rise.begin_seconds + 20, rise.pods), (rise.end_seconds + 70, 1), (scenario.seconds - 1, 1)]
    generated = GeneratorRun(None, 5, 300, 1e6 if void else 5.0, scenario.seconds, 0, "jmeter", "5", 2, 9)
    return render_entry(scenario, series, samples, generated)


def test_the_pair_of_loads_is_asked_for_by_nothing_more_than_scaling():
    plan = make_plan()
    assert (plan.planned.name, plan.metric, plan.requests_per_second) == ("vgg16-a125-b8-scaled", "cpu", 10)
    assert [each.name for each in plan.scenarios()] == ["doubled", "bursts"]
    short = make_plan("--short")
    assert short.planned.source == "digits-a125-b8"
    assert sum(each.seconds for each in short.scenarios()) < 600


@pytest.mark.parametrize("metric", ["cpu", "requests"])
def test_the_operator_takes_the_model_with_its_autoscaler(metric):
    plan = make_plan("--short", "--metric", metric)
    manifest = render_scaled(plan.planned, Limits(cpu_request="40m"), render_autoscaling(metric, 10.0), None)
    manifest["metadata"] |= {"namespace": "load", "uid": "1", "generation": 1}
    model = CompressedModel.model_validate(manifest)
    assert (model.spec.autoscaling.min_replicas, model.spec.autoscaling.max_replicas) == (1, 5)
    assert model.spec.baseline is None
    assert str(model.spec.serving.resources.requests["cpu"]) == "40m"
    if metric == "requests":
        (told,) = model.spec.autoscaling.metrics
        assert told["pods"]["target"] == {"type": "AverageValue", "averageValue": "14000m"}
    else:
        assert model.spec.autoscaling.target_cpu_utilization_percentage == 70


def test_an_entry_is_read_by_the_report_under_its_own_names(tmp_path):
    (doubled, _) = make_plan().scenarios()
    entry = measure(doubled) | {"name": "doubled, x", "configuration": "vgg16-a125-b8", "metric": "CPU"}
    told = Told.model_validate(entry)
    assert (told.followed_seconds, told.came_back_seconds, told.recovered_ratio, told.failures) == (20, 70, 1, 0)
    assert (told.replicas[1], told.void, told.missed) == ((80, 2), None, [])
    assert len(told.p95) == 360 / 5
    journal = Journal(tmp_path / "results.json", provenance(), scenarios=True)
    journal.add_scaling(entry)
    found = read_results(tmp_path / "results.json")
    assert list_scaling(found)[0] == told
    page = render_scaling(found, {"scaling-1.png": b"png", "scaling-1-dark.png": b"png"})
    assert "Replicas followed in 20 s. They came back in 70 s. p95 came back to 1.00 times its value before." in page


def test_failures_and_a_generator_that_took_too_much_are_told():
    (doubled, _) = make_plan("--short").scenarios()
    failed = measure(doubled, failing="503")
    assert failed["missed"][0].endswith("requests failed")
    assert failed["void"] is None
    assert "planned requests were not sent" in measure(doubled, failing="not sent")["void"]
    assert "of the node, where 30 % is the most" in measure(doubled, void=True)["void"]


def make_scaling(journal, measured, *arguments, image="server:1"):
    """A conductor whose cluster has the model already, by that image; what it measures is made up."""

    class Made(Scaling):
        def prepare(self):
            pass

        def read_deployment(self):
            return CALM

        def measure(self, scenario):
            measured.append(scenario.name)
            entry = measure(scenario, void=len(measured) == 1)
            return entry | {"name": self.plan.name(scenario), "configuration": self.plan.planned.source}

    class Kubectl:
        def run(self, *arguments):
            assert arguments[:3] == ("delete", "cmod", "digits-a125-b8-scaled")

        def read(self, *_):
            container = {"env": [{"name": "MODELPRESS_SERVER_IMAGE", "value": image}]}
            return {"items": [{"spec": {"template": {"spec": {"containers": [container]}}}}]}

    scene = Scene(Kubectl(), "load", "no cluster", PrometheusPlace("system", "prometheus:9090"))
    return Made(scene, make_plan("--short", *arguments), journal, Generators({}, None, {}, ""), print)


def test_a_void_load_is_made_once_more_and_what_is_known_is_not_made_again(tmp_path):
    measured, path = [], tmp_path / "results.json"
    first = make_scaling(Journal(path, provenance(), scenarios=True), measured)
    first.conduct()
    assert measured == ["doubled", "doubled", "bursts"]
    found = read_results(path)
    assert [(each["name"], each["void"]) for each in found.scaling] == [
        ("doubled, digits-a125-b8 on CPU", None),
        ("bursts, digits-a125-b8 on CPU", None),
    ]
    assert found.provenance.finished_at is not None
    assert first.list_missed([]) == []
    again = make_scaling(Journal(path, provenance(data="other"), scenarios=True), measured)
    assert again.conduct() == []
    assert len(measured) == 3


def test_a_load_of_another_rate_length_image_or_artifact_is_none_that_is_known(tmp_path, monkeypatch):
    measured, path = [], tmp_path / "results.json"
    make_scaling(Journal(path, provenance(), scenarios=True), measured).conduct()

    def again(*arguments, **changed):
        return make_scaling(Journal(path, provenance(), scenarios=True), measured, *arguments, **changed).conduct()

    assert again() == []
    with pytest.raises(ResultsError, match=r"doubled, .* with requestsPerSecond 10.0, not 20.0: name another folder"):
        again("--rate", "20")
    with pytest.raises(ResultsError, match="with image 'server:1', not 'server:2'"):
        again(image="server:2")
    monkeypatch.setattr("load.autoscaled.find_digest", lambda *_: "sha256:1")
    with pytest.raises(ResultsError, match=r"with weights 'initial weights, .*', not 'sha256:1'"):
        again()
    monkeypatch.undo()
    longer = make_scaling(Journal(path, provenance(), scenarios=True), measured)
    longer.plan = make_plan("--network", "digits")
    with pytest.raises(ResultsError, match="with load "):
        longer.conduct()
    assert len(measured) == 3


def test_scenarios_stand_beside_runs_of_the_same_machine_in_either_order(tmp_path):
    path = tmp_path / "results.json"
    conditions = {**provenance().conditions, "flaskServer": "flask"}
    Journal(path, provenance(data="digits"), scenarios=True).add_scaling({"name": "first"})
    journal = Journal(path, provenance(data="vgg16", conditions=conditions))
    assert (journal.results.provenance.data, len(journal.results.scaling)) == ("vgg16", 1)
    journal.add_run(
        Run(configuration="a", profile="n75", protocol="rest", generator="python", block=0, started_unix=0,
            ended_unix=1, samples="s", requests=1, requests_per_second=1, generator_cpu_seconds=0, node_cpu_seconds=0,
            generator_share_percent=0)
    )  # fmt: skip
    journal.finish()
    kept = Journal(path, provenance(data="digits"), scenarios=True).results.provenance
    assert (kept.data, kept.finished_at is None) == ("vgg16", False)
    with pytest.raises(ResultsError, match="with hardware 'h', not 'another'"):
        Journal(path, provenance(hardware="another"), scenarios=True)
    with pytest.raises(ResultsError, match="with cpuLimit '1', not '2'"):
        Journal(path, provenance(conditions={"cpuLimit": "2", "memoryLimit": "2Gi"}), scenarios=True)


def test_a_load_begins_when_there_is_one_pod_of_what_is_asked_for_and_no_other():
    assert is_calm(CALM)
    for other in ({"replicas": 2}, {"updatedReplicas": 0}, {"readyReplicas": 0}, {"observedGeneration": 1}):
        assert not is_calm({**CALM, "status": {**ONE, **other}})
    assert not is_calm({})


def test_an_autoscaler_is_active_when_it_reads_its_metric():
    assert not is_active({})
    assert not is_active({"conditions": [{"type": "ScalingActive", "status": "False"}]})
    conditions = [{"type": "AbleToScale", "status": "False"}, {"type": "ScalingActive", "status": "True"}]
    assert is_active({"conditions": conditions})


def test_a_scaling_of_what_is_no_experiment_is_refused(tmp_path, capsys):
    (tmp_path / "results.json").write_text("{}")
    assert main(["scaling", "-o", str(tmp_path)]) == 1
    assert "is no experiment's results" in capsys.readouterr().err
