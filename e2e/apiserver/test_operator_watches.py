"""What the operator asks for while nothing happens, and that a watch that has died in silence fails its health."""

import json
import time

import pytest
import yaml
from api_proxy import ApiProxy
from cluster.client import wait_until
from operator_play import PATIENCE_SECONDS, OperatorProcess, training_model
from test_operator_process import read

LONGEST_SILENCE_SECONDS = 45


@pytest.fixture
def proxy(crd_server):
    """What the operator takes for the API server."""
    with ApiProxy(crd_server.kubeconfig) as running:
        yield running


@pytest.fixture
def own_operator(proxy, operator_kubeconfig, api_namespace, tmp_path, request):
    """An operator of the test's namespace behind the proxy; its settings are the test's parameter."""
    token = yaml.safe_load(operator_kubeconfig.read_text())["users"][0]["user"]["token"]
    kubeconfig = proxy.write_kubeconfig(tmp_path / "kubeconfig", token)
    settings = {"watch_namespaces": api_namespace, **getattr(request, "param", {})}
    with OperatorProcess(kubeconfig, tmp_path / "log", **settings) as running:
        wait_until(lambda: read(running.health_port, "readyz")[0], lambda status: status == 200, 30, "/readyz")
        yield running


def ask_health(operator):
    """Status and sentence."""
    return read(operator.health_port, "healthz")


@pytest.mark.parametrize("own_operator", [{"resync_seconds": 5}], indirect=True)
def test_a_watch_that_says_nothing_more_fails_health_until_it_speaks_again(own_operator, proxy, cluster):
    cluster.make(training_model())
    cluster.wait_for("small", Ready="False/StoreMissing")
    with proxy.stalled():
        cluster.make(training_model("unseen", seed=1))
        # It is found by the audit and served without the watch.
        cluster.wait_for("unseen", Ready="False/StoreMissing", seconds=20)
        assert ask_health(own_operator) == (200, "ok\n")
        status, words = wait_until(
            lambda: ask_health(own_operator), lambda page: page[0] == 503, LONGEST_SILENCE_SECONDS, "/healthz"
        )
    assert (status, words.partition(" for ")[0]) == (
        503,
        f"the watch has not told of CompressedModel {cluster.namespace}/unseen",
    )
    wait_until(lambda: ask_health(own_operator), lambda page: page == (200, "ok\n"), PATIENCE_SECONDS, "/healthz")


@pytest.mark.parametrize("own_operator", [{"resync_seconds": 3600}], indirect=True)
def test_when_nothing_happens_the_server_is_hardly_asked(own_operator, proxy, cluster):
    cluster.make_claim()
    cluster.make(training_model())
    cluster.build()
    cluster.serve("small")
    cluster.wait_for("small", Ready="True/Serving")
    begun = time.monotonic()

    def look():
        asked = [each for each in proxy.asked if each.at > begun]
        return [f"{each.method} {each.path}" for each in asked if not each.watches]

    # The pass that the pod's readiness called for may ask for a few things yet.
    wait_until(lambda: time.monotonic() - begun, lambda seconds: seconds > 3, 10, "the last pass")
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() - begun, lambda seconds: seconds > 10, 20, "ten quiet seconds")
    assert [each for each in look() if not each.startswith("GET")] == []
    assert len(look()) <= 10, json.dumps(look())
    assert ask_health(own_operator) == (200, "ok\n")
