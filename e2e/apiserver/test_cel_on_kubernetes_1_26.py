"""The committed CRD under the validation of Kubernetes 1.26, the oldest version that is supported."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cluster.toolchain import build_cel_check

CRD = Path(__file__).resolve().parents[2] / "crds" / "compressedmodels.yaml"


@pytest.fixture(scope="module")
def check():
    """Runs the check on the text of a CRD: its exit status and what it printed."""
    program = build_cel_check(lambda message: print(message, file=sys.stderr, flush=True))

    def run(text):
        done = subprocess.run([program], input=text, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout + done.stderr

    return run


def planted(rule):
    """The CRD with the rule on baseline.name, as text."""
    crd = yaml.safe_load(CRD.read_text())
    fields_of(crd)["baseline"]["properties"]["name"]["x-kubernetes-validations"] = [
        {"rule": rule, "message": "planted"}
    ]
    return yaml.safe_dump(crd)


def fields_of(crd):
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]


def test_every_rule_default_and_limit_of_the_crd_is_taken(check):
    assert check(CRD.read_text()) == (0, "")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("'%s'.format([self]) != ''", "undeclared reference to 'format'"),
        ("optional.of(self).hasValue()", "undeclared reference to 'optional'"),
        ("size(self) < 5.0", "found no matching overload for '_<_' applied to '(int, double)'"),
        ("quantity(self).sign() == 1", "undeclared reference to 'quantity'"),
        ("sets.contains(['a'], [self])", "undeclared reference to 'sets'"),
        ("self ==", "Syntax error"),
    ],
)
def test_a_rule_that_needs_a_newer_version_is_found(rule, words, check):
    code, output = check(planted(rule))
    assert code == 1
    assert "properties[baseline].properties[name].x-kubernetes-validations[0].rule" in output
    assert words in output


@pytest.mark.parametrize(("bounded", "code"), [(True, 0), (False, 1)])
def test_a_rule_on_something_without_a_bound_costs_too_much(bounded, code, check):
    crd = yaml.safe_load(CRD.read_text())
    labels = fields_of(crd)["build"]["properties"]["nodeSelector"]
    labels["x-kubernetes-validations"] = [{"rule": "self.all(a, self.all(b, a == b || self[a] != self[b]))"}]
    if not bounded:
        del labels["maxProperties"]
    found, output = check(yaml.safe_dump(crd))
    assert (found, "exceeds budget" in output) == (code, not bounded), output


@pytest.mark.parametrize("text", ["", "kind: Deployment", "a: [", "kind: CustomResourceDefinition\nextra: 1"])
def test_what_is_no_crd_is_told_apart_from_a_bad_one(text, check):
    code, output = check(text)
    assert code == 2
    assert output.startswith("cel-check: ")
    assert "give a CustomResourceDefinition (apiextensions.k8s.io/v1) as YAML on standard input" in output
