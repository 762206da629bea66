"""The operator on a real node: from `kubectl apply` to served and measured, and what happens when things go wrong.

The tests stand in the order of one story, on one node with one installation; each uses models of its own name.
"""

import json
import os
import subprocess
import sys
import time
import urllib.parse
from contextlib import contextmanager
from pathlib import Path

import yaml
from dashboards.evaluation import list_choices, list_questions, read_choices, read_empty
from demo_cluster.installation import CHART, RELEASE, SYSTEM_NAMESPACE
from demo_cluster.loading import Load, ask_once, list_failures, write_body
from demo_cluster.models import EXAMPLES

RECIPE_LABEL, MODEL_LABEL = "modelpress.dev/recipe", "modelpress.dev/model"


def example(name, **training):
    """An example with a window short enough for a test."""
    manifest = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    manifest["spec"]["source"]["training"].update(training)
    manifest["spec"].setdefault("objectives", {})["window"] = "1m"
    return manifest


def service_address(models, name):
    return models.installation.client.read("service", name, "-n", models.namespace)["spec"]["clusterIP"]


def stored_files(models):
    return sorted(path.name for path in (models.installation.folder / "store" / "artifacts").glob("*.zip"))


@contextmanager
def load_on_both(models, pictures, folder):
    """The digits' two models are asked for as long as it takes."""
    targets = [
        {
            "name": name,
            "url": f"http://{service_address(models, name)}:8501/v1/models/{name}:predict",
            "body": str(write_body(pictures, folder / f"{name}.json")),
            "rate": 40,
        }
        for name in ("digits-a0-b32", "digits-a125-b8")
    ]
    load = Load(models.node.node.places, folder / "load", {"seconds": 150, "targets": targets})
    try:
        yield load
    finally:
        load.stop()


def test_two_models_are_built_served_scaled_measured_and_compared(models, digit_pictures, tmp_path):
    for name in ("digits-a0-b32", "digits-a125-b8"):
        models.apply(example(name))
    for name in ("digits-a0-b32", "digits-a125-b8"):
        models.wait_for(name, "Ready", "True", seconds=240)
        assert ask_once(models.node.node.places, name, service_address(models, name), digit_pictures)
    artifact = models.read("digits-a125-b8")["status"]["artifact"]
    assert artifact["digest"].removeprefix("sha256:") + ".zip" in stored_files(models)
    assert artifact["trained"] is True
    assert artifact["quality"]["value"] > 90
    with load_on_both(models, digit_pictures, tmp_path) as load:
        models.wait_for("digits-a125-b8", "Compared", "True", seconds=150)
    status = models.read("digits-a125-b8")["status"]
    assert status["kpis"]["requests"] >= 1000
    assert 0 < status["kpis"]["p95LatencyMilliseconds"] < 1000
    assert status["kpis"]["cpuMillicores"] > 0
    assert status["kpis"]["memoryMebibytes"] > 10
    assert set(status["savings"]) >= {"size", "latency", "cpu", "memory"}
    assert list_failures(load.latest()["targets"][1]) == {}


def test_the_columns_show_what_was_measured(models):
    header, *rows = models.node.kubectl("get", "cmod", "-n", models.namespace).splitlines()
    assert header.split()[:4] == ["NAME", "READY", "ALPHA", "BITS"]
    row = next(row for row in rows if row.startswith("digits-a125-b8"))
    assert row.split()[1:4] == ["True", "1.25", "8"]


def ask_prometheus(models):
    """What answers questions by the chart's own Prometheus, through the API server."""
    service = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/services/http:{RELEASE}-prometheus:9090/proxy/api/v1"

    def ask(path, parameters):
        asked = f"{service}/{path}?{urllib.parse.urlencode(parameters)}"
        return json.loads(models.node.kubectl("get", "--raw", asked))["data"]

    return ask


def test_no_panel_of_a_dashboard_is_empty(models):
    ask, begun = ask_prometheus(models), time.time() - 120
    for name, own in (("fleet", models.namespace), ("model", models.namespace), ("operator", SYSTEM_NAMESPACE)):
        board = json.loads((CHART / "dashboards" / f"{name}.json").read_text())
        variables = {"namespace": own, "model": "digits-a125-b8"}
        for variable, selector, label in list_choices(board, variables):
            assert variables[variable] in read_choices(ask, selector, label)
        questions = list_questions(board, variables)
        print(f"{name}: {len(questions)} questions")
        # What the operator told last is scraped a few seconds later.
        models.node.wait_until(
            lambda questions=questions: list(read_empty(ask, questions, begun, time.time())),
            lambda empty: empty == [],
            30,
            f"{name}: panels without data",
        )


def run_plugin(models, *arguments):
    """What `kubectl cmod …` prints."""
    places = models.node.node.places
    command = [Path(sys.executable).with_name("kubectl-cmod"), *arguments]
    environment = {
        **os.environ,
        "PATH": f"{places.binaries}:{os.environ['PATH']}",
        "KUBECONFIG": str(places.kubeconfig),
    }
    done = subprocess.run(
        [*command, "-n", models.namespace], env=environment, check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    print(f"$ kubectl cmod {' '.join(arguments)}\n{done.stdout}")
    return done.stdout


def test_the_plugin_tells_what_was_measured(models, digit_pictures, tmp_path):
    name, plain = "digits-a125-b8", "digits-a0-b32"
    # The window of the first load may be over by now, and with it what was measured in it.
    with load_on_both(models, digit_pictures, tmp_path):
        tree = models.node.wait_until(
            lambda: run_plugin(models, "status", name),
            lambda told: "├─ KPIs       p95 " in told and f"└─ savings    {plain} takes " in told,
            140,
            "KPIs and savings",
        )
        rows = {line.split("   ")[0]: line for line in run_plugin(models, "compare", name, plain).splitlines()}
    assert tree.startswith(f"{models.namespace}/{name}: ready (Serving), ")
    assert {"artifact", "quality", "p95 latency", "CPU of a pod", "memory of a pod"} <= set(rows)
    assert run_plugin(models, "why", name).startswith(f"{models.namespace}/{name} is ready: ")
    assert [line.split()[:2] for line in run_plugin(models, "list").splitlines()[1:]] == [[plain, "yes"], [name, "yes"]]
    assert run_plugin(models, "logs", name, "build", "--tail=3").count("\n") == 3
    assert run_plugin(models, "logs", name, "server", "--tail=3")


def test_a_known_recipe_is_served_again_without_a_build(models):
    changed = example("digits-a125-b8")
    changed["spec"]["compression"]["bits"] = 6
    models.apply(changed)
    models.wait_for("digits-a125-b8", "Reconciling", "True")
    # while the other artifact is built, the first one serves
    assert models.condition("digits-a125-b8", "Available")[0] == "True"
    models.wait_for("digits-a125-b8", "Ready", "True", seconds=240)
    jobs = sorted(models.names("jobs", RECIPE_LABEL))
    models.apply(example("digits-a125-b8"))
    begun = time.monotonic()
    models.wait_for("digits-a125-b8", "Ready", "True")
    print(f"known recipe: Ready {time.monotonic() - begun:.1f} s after apply")
    assert sorted(models.names("jobs", RECIPE_LABEL)) == jobs


def test_an_altered_artifact_is_never_served(models):
    artifact = models.read("digits-a125-b8")["status"]["artifact"]
    sound = models.installation.folder / "store" / "artifacts" / f"{artifact['digest'].removeprefix('sha256:')}.zip"
    altered = sound.with_name("altered.zip")
    contents = bytearray(sound.read_bytes())
    contents[len(contents) // 2] ^= 1
    altered.write_bytes(contents)
    altered.chmod(0o644)
    source = {"artifact": {"uri": "pvc://modelpress-store/artifacts/altered.zip", "digest": artifact["digest"]}}
    models.apply(bare_model("altered", {"source": source}))
    message = models.wait_for("altered", "ArtifactReady", "False", "ArtifactMismatch")
    assert "altered.zip" in message
    assert models.condition("altered", "Stalled")[0] == "True"
    assert models.condition("altered", "Available")[0] == "False"
    (pod,) = models.installation.client.read("pods", "-n", models.namespace, "-l", f"{MODEL_LABEL}=altered")["items"]
    (server,) = pod["status"]["containerStatuses"]
    assert server["started"] is False
    assert "waiting" in server["state"]


def bare_model(name, spec):
    metadata = {"name": name}
    return {"apiVersion": "modelpress.dev/v1alpha1", "kind": "CompressedModel", "metadata": metadata, "spec": spec}


def test_a_given_artifact_is_verified_and_served(models, digit_pictures):
    artifact = models.read("digits-a125-b8")["status"]["artifact"]
    source = {"artifact": {"uri": artifact["uri"], "digest": artifact["digest"]}}
    models.apply(bare_model("given", {"source": source}))
    models.wait_for("given", "Ready", "True")
    assert ask_once(models.node.node.places, "given", service_address(models, "given"), digit_pictures)
    assert models.read("given")["status"]["artifact"]["sizeBytes"] == artifact["sizeBytes"]


def test_a_build_without_its_data_fails_with_cause_and_remedy(models):
    spec = yaml.safe_load((EXAMPLES / "cnn-a125-b8.yaml").read_text())["spec"]
    models.apply(
        bare_model("no-data", {key: spec[key] for key in ("compression", "source")} | {"build": {"retries": 0}})
    )
    message = models.wait_for("no-data", "ArtifactReady", "False", "BuildFailed")
    assert "End of the log" in run_plugin(models, "why", "no-data")
    assert "cifar-10-binary.tar.gz: cannot be downloaded" in message
    assert "data.claimName" in message
    assert models.condition("no-data", "Stalled")[0] == "True"
    recipe = models.read("no-data")["status"]["build"]["recipeDigest"].removeprefix("sha256:")[:32]
    assert len(models.names("jobs", f"{RECIPE_LABEL}={recipe}")) == 1


def test_deletion_removes_every_object(models):
    gone = ("given", "altered", "no-data")
    recipe = models.read("no-data")["status"]["build"]["recipeDigest"].removeprefix("sha256:")[:32]
    assert models.names("jobs", f"{RECIPE_LABEL}={recipe}") != []
    for name in gone:
        models.delete(name)

    def left():
        kinds = "deployments,services,hpa,pdb,pods,replicasets,endpointslices"
        own = [found for name in gone for found in models.names(kinds, f"{MODEL_LABEL}={name}")]
        return own + models.names("jobs,pods,configmaps", f"{RECIPE_LABEL}={recipe}")

    models.node.wait_until(left, lambda names: names == [], 90, "objects of deleted models")


def test_the_operator_restarted_in_the_middle_of_a_build_builds_once(models):
    name = "restarted"
    manifest = example("digits-a125-b8", seed=7)
    models.apply(bare_model(name, manifest["spec"] | {"baseline": {"name": "digits-a0-b32"}}))
    models.wait_for(name, "ArtifactReady", "False", "Building")
    models.node.kubectl("delete", "pods", "-n", SYSTEM_NAMESPACE, "-l", "app.kubernetes.io/component=operator")
    models.wait_for(name, "Ready", "True", seconds=240)
    recipe = models.read(name)["status"]["build"]["recipeDigest"].removeprefix("sha256:")[:32]
    assert len(models.names("jobs", f"{RECIPE_LABEL}={recipe}")) == 1


def test_a_suspended_build_ends_and_goes_on_from_where_it_was_saved(models):
    name = "paused"
    spec = example("digits-a125-b8", seed=8, epochs=2000)["spec"]
    models.apply(bare_model(name, {key: spec[key] for key in ("compression", "source")}))
    models.node.wait_until(
        lambda: (models.read(name).get("status", {}).get("build") or {}).get("epoch") or 0,
        lambda epoch: epoch > 2,
        120,
        "training",
    )
    recipe = models.read(name)["status"]["build"]["recipeDigest"].removeprefix("sha256:")
    made = f"{RECIPE_LABEL}={recipe[:32]}"

    def left():
        return models.names("jobs,pods", made)

    def suspend(*, suspended):
        patch = json.dumps({"spec": {"suspend": suspended}})
        models.node.kubectl("patch", "cmod", name, "-n", models.namespace, "--type=merge", "-p", patch)

    run_plugin(models, "status", name)
    suspend(suspended=True)
    models.wait_for(name, "Ready", "False", "Suspended")
    run_plugin(models, "why", name)
    models.node.wait_until(left, lambda names: names == [], 60, "the build's Job and pod")
    saved = models.installation.folder / "store" / f".build-{recipe}"
    assert [path.name for path in saved.glob("*.npz")] == ["checkpoint.npz"]
    suspend(suspended=False)
    told = models.node.wait_until(
        lambda: models.node.kubectl("logs", "-n", models.namespace, "-l", made, "--tail=-1", check=False).stdout,
        lambda log: "going on after step" in log,
        120,
        "the log of the build that goes on",
    )
    print(told.splitlines()[0])
    models.delete(name)
    models.node.wait_until(left, lambda names: names == [], 60, "the Job and pod of a model that is deleted")


def test_helm_upgrades_and_uninstalls_while_models_keep_serving(models, image_names, digit_pictures):
    models.installation.install_chart(image_names, {"logLevel": "DEBUG"})
    client = models.installation.client
    (deployment,) = client.read("deployments", "-n", SYSTEM_NAMESPACE, "-l", "app.kubernetes.io/component=operator")[
        "items"
    ]
    assert "DEBUG" in json.dumps(deployment["spec"]["template"]["spec"]["containers"])
    client.helm("uninstall", RELEASE, "--namespace", SYSTEM_NAMESPACE, "--wait")
    name = "digits-a125-b8"
    assert ask_once(models.node.node.places, name, service_address(models, name), digit_pictures)
    assert models.names("cmod", "") != []
    assert client.read("pvc", "modelpress-store", "-n", models.namespace)["status"]["phase"] == "Bound"
    assert CHART.is_dir()
