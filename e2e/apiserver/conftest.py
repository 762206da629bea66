"""An API server with the CRD, once for all tests of a session, and operators that serve it."""

import pytest
from forked_operator import Nursery
from lived import live
from operator_play import ROOT, Cluster, OperatorProcess, training_model, write_operator_kubeconfig
from survival_server import SurvivalServer
from survival_stage import Stage

CRD = ROOT / "crds" / "compressedmodels.yaml"


@pytest.fixture(scope="session")
def crd_server(api_server):
    """An API server that knows CompressedModel."""
    api_server.apply_crd(CRD.read_text())
    return api_server


@pytest.fixture(scope="session")
def operator_kubeconfig(crd_server, tmp_path_factory):
    """Of the operator's service account, with exactly the chart's rules."""
    return write_operator_kubeconfig(crd_server, tmp_path_factory.mktemp("operator"))


@pytest.fixture(scope="module")
def operator(operator_kubeconfig, tmp_path_factory):
    """The operator of all namespaces, looking at everything every five seconds; gone when the file's tests are."""
    log = tmp_path_factory.mktemp("operator-log") / "log"
    with OperatorProcess(operator_kubeconfig, log, resync_seconds=5) as running:
        yield running


@pytest.fixture
def cluster(crd_server, api_namespace, request):
    """The test's namespace; a failure shows the operator's log."""
    played = Cluster(crd_server, api_namespace)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    played.make(account)
    yield played
    for name in ("operator", "own_operator"):
        if name in request.fixturenames:
            print(request.getfixturevalue(name).words())
    played.kubectl("delete", "cmod", "--all", "--wait=false")


@pytest.fixture(scope="session")
def survival_server(binaries, tmp_path_factory):
    """An API server of their own for the tests that end things, with garbage collection."""
    with SurvivalServer(binaries, tmp_path_factory.mktemp("survival-server")) as server:
        yield server


@pytest.fixture(scope="session")
def nursery(tmp_path_factory):
    """Starts operators of this checkout in milliseconds."""
    with Nursery(tmp_path_factory.mktemp("nursery") / "log") as nursery:
        yield nursery


@pytest.fixture(scope="session")
def new_stage(survival_server, nursery, tmp_path_factory):
    """Makes a stage of its own for each life."""
    folder = tmp_path_factory.mktemp("lives")
    return lambda **settings: Stage(survival_server, nursery, folder, **settings)


@pytest.fixture(scope="session")
def unharmed(new_stage):
    """What is left of a life in which nothing fails."""
    return live(new_stage())


@pytest.fixture
def stage(survival_server, nursery, tmp_path):
    """A namespace with an operator behind a proxy; a failure shows the operator's log."""
    with Stage(survival_server, nursery, tmp_path) as stage:
        yield stage
        print(stage.operator.words())


@pytest.fixture
def served(operator, cluster):
    """A model named small that is served."""
    assert operator
    cluster.make_claim()
    cluster.make(training_model())
    cluster.build()
    cluster.serve("small")
    cluster.wait_for("small", Ready="True/Serving")
    return cluster
