"""Gets a cluster with the operator on it: the embedded node, brought up when it is not there, or kubectl's own."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.client import Client
from cluster.current import use_cluster
from cluster.node import Node
from cluster.places import Places
from cluster.preflight import read_problems
from cluster.processes import ClusterError
from cluster.toolchain import binaries_folder
from demo_cluster.installation import SYSTEM_NAMESPACE, Installation
from demo_cluster.provisioning import IMAGE_TARGETS, Provisioning
from typing_extensions import override

from load.deploying import Scene, Tell
from load.kpis import PrometheusPlace
from model_operator import names

NAMESPACE = "modelpress-load"
PROMETHEUS_SERVICE = "modelpress-prometheus:9090"
FLASK_TARGET = "flask-baseline"
GENERATOR_TARGET = "load-generator"
SCRAPE_SECONDS = 5
KUBELET_SCRAPE_SECONDS = 10
KPI_SECONDS = 5


@dataclass(frozen=True)
class ContextClient(Client):
    """kubectl as the machine has it, against one of its contexts.

    Attributes:
        context: the name.
    """

    context: str = ""

    @override
    def run(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        command = [str(self.binaries / "kubectl"), f"--context={self.context}", *arguments]
        return subprocess.run(command, input=text, check=False, capture_output=True, text=True)


def render_chart_values(
    scrape_seconds: int = SCRAPE_SECONDS, kubelet_seconds: int = KUBELET_SCRAPE_SECONDS
) -> Mapping[str, Any]:
    """What the experiment asks of the chart beside what the demo does: figures that are read often."""
    return {
        "prometheus.scrapeSeconds": scrape_seconds,
        "prometheus.kubelet.scrapeSeconds": kubelet_seconds,
        "prometheus.kpiSeconds": KPI_SECONDS,
    }


def bring_up(
    state: Path,
    folder: Path,
    *,
    with_flask: bool,
    with_generators: bool = False,
    tell: Tell,
    check: Callable[[str, str], None] | None = None,
    values: Mapping[str, Any] | None = None,
) -> Scene:
    """The embedded node with images, chart and Prometheus, as the demo has them.

    Args:
        state: the node's folder.
        folder: of the log of what is built. The store is beside the node's folder: a node has one, whichever folder of
            results is named, and a volume cannot be moved while the node lives.
        with_flask: whether the baseline's image is needed.
        with_generators: whether that of the generators is, which then run as Jobs.
        tell: is given each line of progress.
        check: is given the images of our servers and of the baseline before the node is touched: a chart with another
            image would replace the pods of every model that is there.
        values: of the chart, beside those of every experiment.

    Raises:
        ClusterError: when no node can run here, or something cannot be built.
    """
    if problems := read_problems(state):
        raise ClusterError(f"no Kubernetes node can run here ({'; '.join(problems)}): use --context with a cluster")
    wanted = {FLASK_TARGET: with_flask, GENERATOR_TARGET: with_generators}
    targets = (*IMAGE_TARGETS, *(target for target, is_wanted in wanted.items() if is_wanted))
    tell("building programs and images that are not there yet")
    with Provisioning(folder / "provisioning.log", targets) as provisioning:
        provisioning.wait()
    if check is not None:
        check(provisioning.images["server"], provisioning.images.get(FLASK_TARGET, ""))
    volumes = plan_volumes_folder(state)
    installation = Installation(Node(Places(state.resolve(), binaries_folder())), NAMESPACE, volumes)
    installation.node.up(tell)
    installation.load_images(provisioning.images)
    installation.make_namespaces()
    installation.make_store_volume()
    tell("installing charts/modelpress by Helm, with its Prometheus")
    installation.install_chart(provisioning.images, {**render_chart_values(), **(values or {})})
    flask, generators = (provisioning.images.get(target, "") for target in wanted)
    return stand_on(installation, flask, generator_image=generators)


def plan_volumes_folder(state: Path) -> Path:
    """Where a node's store is: beside its folder, since what was built outlives the node."""
    place = state.resolve()
    return place.with_name(f"{place.name}-load-volumes")


def stand_on(
    installation: Installation, flask_image: str, scrape_seconds: int = SCRAPE_SECONDS, generator_image: str = ""
) -> Scene:
    """The scene of an installation on the embedded node."""
    places = installation.node.places
    return Scene(
        client=installation.client,
        namespace=installation.namespace,
        description="embedded node",
        prometheus=PrometheusPlace(SYSTEM_NAMESPACE, PROMETHEUS_SERVICE, scrape_seconds),
        enter=tuple(places.enter()),
        flask_image=flask_image,
        generator_image=generator_image,
        store=installation.folder / "store",
    )


def use_context(context: str, namespace: str, prometheus: str, flask_image: str, generator_image: str = "") -> Scene:
    """A cluster that is there already, with the chart installed and a store in the namespace.

    Args:
        context: `current`, or the name of one.
        namespace: of the models.
        prometheus: NAMESPACE/SERVICE:PORT.
        flask_image: as the cluster can pull it; empty: no Flask baseline.
        generator_image: likewise; empty: the generators run from here.

    Raises:
        ClusterError: when something of it is not there.
    """
    name = use_cluster(context)
    kubectl = Path(str(shutil.which("kubectl")))
    kubeconfig = Path(os.environ.get("KUBECONFIG", Path.home() / ".kube" / "config"))
    client = ContextClient(kubectl.parent, kubeconfig, name)
    client.kubectl("get", "crd", names.CRD_NAME)
    client.kubectl("get", "namespace", namespace)
    system, _, service = prometheus.partition("/")
    place = PrometheusPlace(system, service)
    json.loads(client.kubectl("get", "--raw", place.render_path("vector(1)", 0)))
    return Scene(client, namespace, f"context {name}", place, flask_image=flask_image, generator_image=generator_image)


def format_missing(planned_kinds: Sequence[str], scene: Scene) -> str:
    """What the scene lacks for these kinds of servers, as a sentence; empty when nothing."""
    if "flask" in planned_kinds and not scene.flask_image:
        return (
            "the cluster needs an image of the Flask baseline: push it (python -m images flask-baseline --push PREFIX)"
            " and name it with --flask-image, or leave flask out of --baselines"
        )
    if "tensorflow-serving" in planned_kinds and scene.enter:
        return (
            "the embedded node can pull no image, so TensorFlow Serving's is not there: use --context, or leave"
            " tensorflow-serving out of --baselines"
        )
    return ""
