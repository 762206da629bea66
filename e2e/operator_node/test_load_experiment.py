"""The load experiment, whole but short: two compressions of a small network and the Flask baseline on the node."""

import pytest
from cluster.client import wait_until
from images.building import write_archives
from images.steps import tell_on_stderr
from load.conducting import Conductor, Plan
from load.configurations import Planned
from load.generator_job import GeneratorJobs
from load.generators import make_generators
from load.journal import Journal
from load.machine import read_machine
from load.measuring import Patience, plan_target
from load.profiles import PROFILES, plan_arrivals
from load.provenance import read_provenance
from load.results import Prices, read_results
from load.samples import read_samples
from load.scenes import render_chart_values, stand_on

SECONDS = 20
SCRAPE_SECONDS = 2
KUBELET_SECONDS = 5
FLASK = "digits-flask"


@pytest.fixture(scope="module")
def scene(installation, image_names):
    """The installation, with figures that are read often, and the baseline's image."""
    (flask_image,) = write_archives(("flask-baseline",), tell_on_stderr)
    installation.load_images({"flask-baseline": flask_image})
    installation.install_chart(image_names, render_chart_values(SCRAPE_SECONDS, KUBELET_SECONDS))
    return stand_on(installation, flask_image, SCRAPE_SECONDS)


@pytest.fixture(scope="module")
def plan():
    """Of each, one run by REST; gRPC has its tests beside the generator."""
    return Plan(
        networks=("digits",),
        profiles=(PROFILES["n75"].lasting(SECONDS),),
        protocols=("rest",),
        blocks=1,
        short=True,
        warm_up_seconds=2,
        patience=Patience(settle_seconds=2 * KUBELET_SECONDS),
    )


def conduct(scene, plan, folder):
    """The runs that were made, and the file."""
    generators = make_generators(plan.networks, "python", folder, scene.enter, tell_on_stderr)
    conditions = plan.render_conditions()
    provenance = read_provenance(
        "test", plan.seed, scene.client, cluster=scene.description, data=generators.data, conditions=conditions
    )
    journal = Journal(folder / "results.json", provenance, Prices())
    return Conductor(scene, plan, journal, generators, tell_on_stderr).conduct()


@pytest.fixture(scope="module")
def experiment(scene, plan, tmp_path_factory):
    """The folder of an experiment that was made."""
    folder = tmp_path_factory.mktemp("experiment")
    conduct(scene, plan, folder)
    yield folder
    scene.client.kubectl("delete", "deployment,service", FLASK, "-n", scene.namespace)
    scene.client.kubectl("delete", "cmod", "digits-a0-b32", "digits-a125-b8", "-n", scene.namespace, "--timeout=90s")


@pytest.mark.timeout(1200)
def test_every_request_of_a_short_experiment_is_answered(experiment):
    results = read_results(experiment / "results.json")
    # a run that is void, since the generator of a busy machine was late, has been made once more, and is looked at too
    assert {run.configuration for run in results.runs} == {"digits-a0-b32", "digits-a125-b8", FLASK}
    for run in results.runs:
        print(run.model_dump_json(by_alias=True, exclude_none=True))
        assert run.failures == {}
        assert run.requests > 0.5 * PROFILES["n75"].lasting(SECONDS).expected_requests()
        assert run.p95_milliseconds > 0
        assert {ready for _, ready in run.replicas} == {1}
        assert (experiment / run.samples).is_file()
    assert results.provenance.finished_at is not None
    assert results.provenance.versions["kubernetes"].startswith("v1.")


def test_prometheus_and_the_operator_say_what_the_client_saw(experiment):
    results = read_results(experiment / "results.json")
    ours = [run for run in results.runs if run.configuration != FLASK]
    for run in ours:
        counted, waited, *of_operator = run.agreement
        assert (counted.kpi, counted.within) == ("requests", True), counted
        # a client waits for what the server takes; how much longer on a busy machine is no matter of this test
        assert waited.sources["prometheus"] <= 1.2 * waited.sources["client"], waited
        assert {each.kpi for each in of_operator} == {"requests", "memoryMebibytes"}
        assert all(each.within for each in of_operator), of_operator
        assert run.prometheus.working_set_mebibytes > 10


def test_the_baseline_has_its_own_figures_from_the_kubelet(experiment):
    results = read_results(experiment / "results.json")
    run = next(run for run in results.runs if run.configuration == FLASK)
    assert run.prometheus.p95_latency_milliseconds is None
    assert run.prometheus.working_set_mebibytes > 100
    baseline, ours = results.find_configuration(FLASK), results.find_configuration("digits-a0-b32")
    assert baseline.image.startswith("localhost/modelpress-flask-baseline:")
    assert baseline.weights == ours.weights
    assert (baseline.cpu_limit, baseline.memory_limit) == (ours.cpu_limit, ours.memory_limit)


@pytest.fixture(scope="module")
def generator_jobs(scene, installation):
    """Generators in the cluster, whose image the node knows."""
    (image,) = write_archives(("load-generator",), tell_on_stderr)
    installation.load_images({"load-generator": image})
    return GeneratorJobs(scene, image)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("generator", "protocol"), [("jmeter", "rest"), ("python", "grpc")])
def test_generators_in_the_cluster_send_the_same_and_leave_nothing(
    generator, protocol, experiment, scene, generator_jobs, tmp_path
):
    assert generator_jobs.read_machine() == read_machine()
    planned = Planned("digits-a125-b8", "digits", 1.25, 8)
    target = plan_target(scene, planned, experiment / "bodies" / "digits")
    profile = PROFILES["n75"].lasting(SECONDS)
    run = generator_jobs.generate_by(generator, protocol)(target, profile, 1, tmp_path / "samples.csv.gz")
    samples = read_samples(run.samples)
    print(f"{generator}: {run.load_cpu_seconds:.2f} CPU seconds in {run.load_seconds:.0f} s of load, {run.version}")
    assert samples.planned_seconds == pytest.approx(plan_arrivals(profile, 1), abs=1e-6)
    assert samples.ok.all(), sorted(set(samples.status))
    left = ("get", "jobs,configmaps", "-n", scene.namespace, "-l", "app.kubernetes.io/name=modelpress-load-generator")
    wait_until(lambda: scene.client.kubectl(*left, "-o", "name"), lambda names: names == "", 60, "what the Job owned")


def test_the_same_experiment_again_makes_no_run(experiment, scene, plan):
    assert conduct(scene, plan, experiment) == []
