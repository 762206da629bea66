import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["model_operator.api.v1alpha1", "model_operator.api.crd"])
def test_importing_the_api_loads_no_numeric_library(module):
    script = f"import sys, {module}; print(sorted({{'tensorflow', 'numpy', 'keras'}} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_no_package_file_shadows_the_standard_library(repository):
    assert (repository / "operator" / "pyproject.toml").is_file()
    assert not (repository / "operator" / "__init__.py").exists()


def test_no_package_file_stands_among_the_tests(repository):
    assert list((repository / "operator" / "tests").rglob("__init__.py")) == []


def test_the_standard_librarys_operator_is_what_the_root_imports(repository):
    script = "import operator; print(operator.add(1, 2))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "3\n"


def test_the_only_place_where_everything_meets_stays_short(repository):
    text = (repository / "operator/src/model_operator/reconcile.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 40
