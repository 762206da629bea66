"""The command line: what it asks for, what it refuses, and how it ends."""

import http.server
import os
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from cluster.processes import ClusterError
from loopback import HOST, serve_on_loopback

from load.arguments import make_parser, make_plan
from load.deploying import Scene, find_silence, require_reach
from load.experiment import main, name_generators
from load.kpis import PrometheusPlace
from load.made_up_results import MadeUp, make_results
from load.results import read_results, write_results
from load.scenes import format_missing, plan_volumes_folder

PLACE = PrometheusPlace("modelpress-system", "modelpress-prometheus:9090")


def plan(*arguments):
    return make_plan(make_parser().parse_args(["run", *arguments]))


def test_the_whole_experiment_is_asked_for_by_nothing_more_than_run():
    asked = plan()
    assert asked.networks == ("vgg16", "cnn")
    assert [(each.name, each.seconds) for each in asked.profiles] == [("n75", 120), ("n250", 120)]
    assert (asked.protocols, asked.baselines, asked.blocks) == (("rest", "grpc"), ("flask",), 3)
    assert len(asked.configurations()) == 16
    # half a run, so that it lies within it
    assert asked.window == "60s"
    assert plan("--seconds", "600").window == "300s"


def test_the_short_form_is_one_block_of_one_profile():
    asked = plan("--short", "--networks", "cnn", "--baselines", "")
    assert [(each.name, each.seconds) for each in asked.profiles] == [("n75", 20)]
    assert (asked.blocks, asked.saturation_seconds, asked.baselines) == (1, 0, ())
    # no less than the operator measures over
    assert asked.window == "60s"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--networks", "resnet"], "'resnet' must be of vgg16, cnn, digits"),
        (["--networks", ""], "'' must be of vgg16, cnn, digits"),
        (["--protocols", "soap"], "'soap' must be of rest, grpc"),
        (["--blocks", "0"], "0 must be above 0"),
        (["--seconds", "-1"], "-1 must be above 0"),
        (["--saturation-seconds", "2"], "2 must be 0, or at least 10"),
        (["--artifacts", "/nowhere"], "/nowhere is no folder"),
        (["--context", "x", "--state", "y"], "not allowed with argument"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args(["run", *arguments])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_what_is_no_experiment_is_not_written_over(tmp_path, capsys):
    (tmp_path / "results.json").write_text("{}")
    assert main(["run", "-o", str(tmp_path)]) == 1
    assert "is no experiment's results" in capsys.readouterr().err
    assert (tmp_path / "results.json").read_text() == "{}"


@pytest.fixture
def signals():
    """SIGTERM and SIGHUP do afterwards what they did before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
def test_a_hang_up_that_is_ignored_stays_so(tmp_path, monkeypatch):
    """As under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr("load.experiment.run", lambda *_: 0)
    assert main(["run", "-o", str(tmp_path)]) == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_what_there_is(number, tmp_path, monkeypatch, capsys):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

    def interrupted(*_):
        os.kill(os.getpid(), number)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            time.sleep(0.01)
        raise AssertionError

    monkeypatch.setattr("load.experiment.run", interrupted)
    assert main(["run", "-o", str(tmp_path)]) == 130
    assert "the same command goes on from there" in capsys.readouterr().out


@pytest.mark.usefixtures("signals")
def test_a_report_is_written_of_what_there_is_however_it_ended(tmp_path, monkeypatch, capsys):
    path = make_results(tmp_path, MadeUp(networks=("digits",), blocks=1, seconds=12.0, with_samples=False))
    empty = read_results(path).model_copy(update={"runs": []})
    write_results(path, empty)

    def fail(*_):
        raise ClusterError("the cluster is gone")

    monkeypatch.setattr("load.experiment.run", fail)
    assert main(["run", "--report", "-o", str(tmp_path)]) == 1
    assert (tmp_path / "report" / "report.html").is_file()
    assert "the cluster is gone" in capsys.readouterr().err


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("command", ["run", "scaling", "startup", "density"])
@pytest.mark.parametrize(("asked", "ends"), [(["--down"], 1), ([], 0), (["--down", "--context", "current"], 0)])
def test_a_node_that_was_brought_up_by_half_ends_where_that_was_asked_for(command, asked, ends, tmp_path, monkeypatch):
    ended = []
    state = tmp_path / "state"

    class Ended:
        def __init__(self, places):
            self.places = places

        def down(self, _):
            ended.append(self.places.state)

    def fail(*_, **__):
        state.mkdir()
        raise ClusterError("containerd ended")

    monkeypatch.setattr("load.experiment.find_scene", fail)
    monkeypatch.setattr("load.experiment.Node", Ended)
    place = [] if "--context" in asked else ["--state", str(state)]
    status = main([command, *asked, *place, "-o", str(tmp_path / "out")])
    assert (status, ended) == (1, [state] * ends)


def test_make_measures_and_reports_into_the_folder_that_it_was_given(tmp_path):
    """The recipe of the target, with programs that say what they were given."""
    makefile = Path(__file__).resolve().parents[2] / "Makefile"
    out = str(tmp_path / "elsewhere")
    command = ["make", "--dry-run", "--file", str(makefile), "e2e-load", f"ARGS=-o {out}"]
    said = subprocess.run(command, cwd=makefile.parent, check=True, capture_output=True, text=True).stdout
    (line,) = [line for line in said.splitlines() if "load.experiment" in line]
    given = shlex.split(line.partition("load.experiment")[2])
    options = make_parser().parse_args(given)
    assert (options.command, options.report, str(options.output)) == ("run", True, out)
    # nothing after it, which would not be reached, or would look elsewhere
    assert "load.report" not in said


class Cluster:
    """kubectl of a cluster whose Services have an address that leads nowhere."""

    def __init__(self, address):
        self.address = address

    def read(self, *_):
        """The Service."""
        return {"spec": {"clusterIP": self.address}}


def test_a_cluster_that_cannot_be_reached_is_refused_rather_than_measured_through_a_forwarded_port():
    # nobody listens on this port of the loopback
    scene = Scene(Cluster("127.0.0.1"), "load", "a context", PLACE)
    (planned,) = [each for each in plan("--networks", "digits", "--short").configurations() if each.kind == "flask"]
    with pytest.raises(ClusterError, match="or run this on a node of the cluster; a port that kubectl"):
        require_reach(scene, planned)
    assert require_reach(Scene(Cluster("127.0.0.1"), "load", "a node", PLACE, enter=("true",)), planned) is None


@pytest.mark.parametrize(
    ("status", "said", "problem"),
    [
        (200, b'{"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}', ""),
        (200, b"<!doctype html><title>Welcome</title>", "HTTP 200, from no model"),
        (503, b"no route to 10.96.0.9", "HTTP 503, from no model"),
    ],
)
def test_a_gateway_that_takes_any_connection_is_no_model(status, said, problem):
    class Gateway(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_):
            """Nothing on the test's output."""

    with serve_on_loopback(Gateway) as url:
        assert find_silence(HOST, int(url.rpartition(":")[2]), "digits-a0-b32") == problem


def test_one_that_says_nothing_is_no_model(monkeypatch):
    monkeypatch.setattr("load.deploying._REACH_SECONDS", 0.2)
    with socket.create_server((HOST, 0)) as silent:
        assert find_silence(HOST, silent.getsockname()[1], "digits-a0-b32") == "timed out"


def test_images_that_a_cluster_lacks_are_named_before_anything_is_deployed():
    node = Scene(Cluster(""), "load", "a node", PLACE, enter=("true",))
    assert format_missing(["modelpress"], node) == ""
    assert "needs an image of the Flask baseline" in format_missing(["flask", "modelpress"], node)
    assert "can pull no image" in format_missing(["tensorflow-serving"], node)


def test_the_store_is_the_nodes_and_not_that_of_a_folder_of_results(tmp_path):
    (tmp_path / "cluster").mkdir()
    assert plan_volumes_folder(tmp_path / "cluster") == tmp_path / "cluster-load-volumes"
    # outside of what `make cluster-down` removes
    assert not plan_volumes_folder(tmp_path / "cluster").is_relative_to(tmp_path / "cluster")


def test_conditions_name_what_must_be_the_same():
    conditions = plan("--networks", "cnn").render_conditions()
    assert conditions["cpuLimit"] == "1"
    assert conditions["flaskServer"] == "flask"
    assert conditions["operatorWindow"] == "60s"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run"], {"restGenerator": "jmeter", "generators": "here"}),
        (["run", "--generators", "job"], {"restGenerator": "jmeter", "generators": "job"}),
        (["scaling", "--rest-generator", "python"], {"restGenerator": "python", "generators": "here"}),
        (["density"], {"restGenerator": "jmeter"}),
    ],
)
def test_conditions_name_the_generators_of_a_load(arguments, named):
    assert name_generators(make_parser().parse_args(arguments)) == named
