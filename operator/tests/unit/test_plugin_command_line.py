"""How `kubectl cmod` understands its arguments, finds kubectl, and what it hands on."""

import json
import os
import stat
import sys

import pytest

from kubectl_cmod import kubectl
from kubectl_cmod.__main__ import run
from kubectl_cmod.arguments import Request, parse_arguments
from kubectl_cmod.kubectl import Kubectl, PluginError, find_program, parse_words


def parse(*arguments):
    return parse_arguments(arguments, "1.0")


def test_options_of_kubectl_stand_before_or_after_the_command():
    wanted = Request("status", ("small",), ("--context=there", "--as=me"), "press")
    assert parse("--context", "there", "status", "small", "-n", "press", "--as=me") == wanted
    assert parse("-n", "press", "--as", "me", "status", "--context=there", "small") == wanted


def test_every_option_that_chooses_a_cluster_is_handed_on():
    options = ["--kubeconfig=k", "--context=c", "--cluster=cl", "--user=u", "--server=s", "--token=t", "--as=a"]
    options += ["--as-group=g", "--certificate-authority=ca", "--request-timeout=5s", "--insecure-skip-tls-verify"]
    assert list(parse("list", *options).options) == options


def test_each_command_takes_its_own():
    assert parse("list", "-A", "-o", "json") == Request("list", everywhere=True, as_json=True)
    assert parse("compare", "a", "b").names == ("a", "b")
    assert parse("logs", "a", "build", "-f", "--tail=3") == Request("logs", ("a",), part="build", follow=True, tail=3)


@pytest.mark.parametrize("arguments", [[], ["stats"], ["status"], ["logs", "a", "everything"], ["list", "-o", "yaml"]])
def test_what_cannot_be_understood_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(*arguments)
    assert ended.value.code == 2
    assert "usage: kubectl cmod" in capsys.readouterr().err


def test_kubectl_is_found_by_its_names_or_stated(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECTL", "microk8s kubectl --v=0")
    assert find_program() == ["microk8s", "kubectl", "--v=0"]
    monkeypatch.setenv("KUBECTL", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PluginError, match="there is no kubectl on the PATH"):
        find_program()
    (tmp_path / "microk8s").touch(mode=0o755)
    assert find_program() == ["microk8s", "kubectl"]
    (tmp_path / "kubectl").touch(mode=0o755)
    assert find_program() == ["kubectl"]


@pytest.fixture
def played(monkeypatch, tmp_path):
    """A kubectl that says what it was asked, or answers what a test writes down."""
    program, answer = tmp_path / "kubectl", tmp_path / "answer"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, pathlib, sys\n"
        f"answer = pathlib.Path({str(answer)!r})\n"
        "print(answer.read_text() if answer.exists() else json.dumps({'items': [sys.argv[1:]]}))\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("KUBECTL", str(program))
    return answer


def test_what_kubectl_is_asked(played):
    assert not played.exists()
    here, bound = Kubectl(["--context=there"], "press"), "--request-timeout=10s"
    assert here.read_list("pods") == (["--context=there", "get", "pods", "--namespace=press", "--output=json", bound],)
    everywhere = Kubectl([], "press", everywhere=True)
    assert everywhere.read_list("pods") == (["get", "pods", "--all-namespaces", "--output=json", bound],)
    stated = Kubectl(["--request-timeout=1m"], "press")
    assert stated.read_list("pods") == (["--request-timeout=1m", "get", "pods", "--namespace=press", "--output=json"],)
    both = [here.read_list("pods", "-l", "a"), here.read_list("events")]
    assert here.read_lists(["pods", "-l", "a"], ["events"]) == both


def test_a_kubectl_that_does_not_end_is_ended_and_told(monkeypatch, capsys, tmp_path):
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setenv("KUBECTL", str(program))
    monkeypatch.setattr(kubectl, "ANSWER_SECONDS", 0.3)
    assert run(["status", "small"]) == 1
    assert capsys.readouterr().err == (
        "kubectl get compressedmodels.modelpress.dev has no answer after 0.3 s: see whether the API server can be "
        "reached (kubectl version), or give it longer by --request-timeout\n"
    )


def test_of_an_error_kubectls_words_are_told_and_not_its_log():
    logged = 'E1121 20:04:33.352935   12319 memcache.go:265] "Unhandled Error" err="no group list"\n'
    assert parse_words(f"{logged}{logged}Unable to connect to the server: EOF\n") == (
        "Unable to connect to the server: EOF"
    )


def test_no_model_at_all_is_told(played, capsys):
    played.write_text(json.dumps({"items": []}))
    assert run(["list"]) == 0
    assert capsys.readouterr().out == "There are no CompressedModels.\n"


def test_a_kubectl_that_is_not_there_is_told(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("KUBECTL", raising=False)
    monkeypatch.setitem(os.environ, "PATH", str(tmp_path))
    assert run(["list"]) == 1
    assert capsys.readouterr().err.startswith("there is no kubectl on the PATH: install it")
    monkeypatch.setenv("KUBECTL", f"{tmp_path}/nothing")
    assert run(["list"]) == 1
    assert capsys.readouterr().err == f"{tmp_path}/nothing cannot be run (No such file or directory): install kubectl\n"
