import ast
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


IMPURE_MODULES = {"time", "os", "random", "secrets", "uuid", "logging", "threading", "socket", "subprocess", "pathlib"}
CLOCKS = {"now", "utcnow", "today", "monotonic", "perf_counter"}


def list_impurities(path):
    """What a module imports or calls that would make the same arguments give another answer."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from IMPURE_MODULES & {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            yield from IMPURE_MODULES & {(node.module or "").partition(".")[0]}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
            yield f"{node.func.attr}()"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"open", "print"}:
            yield f"{node.func.id}()"


def test_planning_asks_no_clock_no_environment_and_no_chance(repository):
    modules = sorted((repository / "operator/src/model_operator/planning").glob("*.py"))
    assert len(modules) > 30
    found = {path.name: told for path in modules if (told := sorted(list_impurities(path)))}
    assert found == {}


def test_the_look_for_impurities_finds_some(tmp_path):
    path = tmp_path / "impure.py"
    path.write_text("import os\nfrom time import sleep\nopen('x')\ndatetime.now()\n", encoding="utf-8")
    assert sorted(list_impurities(path)) == ["now()", "open()", "os", "time"]
