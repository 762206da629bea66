import subprocess
import sys

import pytest
import yaml

from model_operator.api.crd import (
    CHART_CRD_FILE,
    CRD_FILE,
    REFERENCE_FILE,
    main,
    read_outdated_files,
    render_crd,
    render_files,
)
from model_operator.api.reference import render_reference


@pytest.fixture
def written(tmp_path):
    """A folder like the repository's root, with the generated files in it."""
    for folder in ("crds", "docs", "charts/modelpress/crds"):
        (tmp_path / folder).mkdir(parents=True)
    assert main(["--root", str(tmp_path)]) == 0
    return tmp_path


def test_the_committed_files_are_current(repository):
    assert read_outdated_files(repository) == []


def test_these_files_are_generated():
    files = ["crds/compressedmodels.yaml", "charts/modelpress/crds/compressedmodels.yaml", "docs/api.md"]
    assert list(render_files()) == [CRD_FILE, CHART_CRD_FILE, REFERENCE_FILE] == files


def test_the_reference_is_rendered_from_the_crd():
    assert render_files()[REFERENCE_FILE].partition("\n")[2] == render_reference(render_crd())


def test_the_chart_ships_the_same_crd():
    files = render_files()
    assert files[CHART_CRD_FILE] == files[CRD_FILE]


def test_the_files_say_where_they_come_from():
    notice = "generated from operator/src/model_operator/api; edit the types there and run make crds"
    first_lines = [text.partition("\n")[0] for text in render_files().values()]
    assert first_lines == [f"# {notice}", f"# {notice}", f"<!-- {notice} -->"]


def test_the_written_crd_is_the_rendered_one(written):
    text = (written / CRD_FILE).read_text(encoding="utf-8")
    assert yaml.safe_load(text) == render_crd()
    assert "&id" not in text, "an anchor would hide a part of the schema from its readers"


def test_written_files_pass_the_check(written, capsys):
    assert main(["--check", "--root", str(written)]) == 0
    assert capsys.readouterr() == ("", "")


def test_the_check_names_each_file_that_differs_and_changes_none(written, capsys):
    (written / CRD_FILE).write_text("edited\n", encoding="utf-8")
    (written / REFERENCE_FILE).unlink()
    assert main(["--check", "--root", str(written)]) == 1
    assert capsys.readouterr().err == (
        "crds/compressedmodels.yaml is not what the API's types give; run make crds and commit it\n"
        "docs/api.md is not what the API's types give; run make crds and commit it\n"
    )
    assert (written / CRD_FILE).read_text(encoding="utf-8") == "edited\n"
    assert not (written / REFERENCE_FILE).exists()


def test_nothing_is_written_outside_a_repository(tmp_path, capsys):
    assert main(["--root", str(tmp_path)]) == 1
    missing = tmp_path / "charts" / "modelpress" / "crds"
    assert capsys.readouterr().err == f"there is no folder {missing}; name the repository's root with --root\n"
    assert list(tmp_path.iterdir()) == []


def test_the_command_works_from_the_current_folder(written):
    command = [sys.executable, "-m", "model_operator.api.crd", "--check"]
    assert subprocess.run(command, cwd=written, check=False, timeout=60).returncode == 0
    (written / CRD_FILE).write_text("edited\n", encoding="utf-8")
    assert subprocess.run(command, cwd=written, check=False, timeout=60, capture_output=True).returncode == 1


def test_the_reference_has_a_table_for_each_object():
    lines = render_reference(render_crd()).splitlines()
    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == [
        "Columns",
        "Subresources",
        "`spec`",
        "`spec.compression`",
        "`spec.source`",
        "`spec.source.training`",
        "`spec.source.model`",
        "`spec.source.model.dataset`",
        "`spec.source.artifact`",
        "`spec.store`",
        "`spec.build`",
        "`spec.build.resources`",
        "`spec.build.tolerations[]`",
        "`spec.serving`",
        "`spec.serving.resources`",
        "`spec.serving.tolerations[]`",
        "`spec.autoscaling`",
        "`spec.objectives`",
        "`spec.objectives.quality`",
        "`spec.baseline`",
        "`spec.rollout`",
        "`status`",
        "`status.conditions[]`",
        "`status.compression`",
        "`status.build`",
        "`status.artifact`",
        "`status.artifact.quality`",
        "`status.serving`",
        "`status.kpis`",
        "`status.savings`",
        "`status.history[]`",
    ]


@pytest.mark.parametrize(
    "row",
    [
        "| `bits` | integer | required | 2 to 16, or 32 to leave weights unquantised | Bits of a weight's code. |",
        "| `batchSize` | integer | `64` | at least 1; at most 65536 | Images of one training step. |",
        "| `momentum` | number | `0.9` | at least 0; less than 1 | Momentum of stochastic gradient descent. |",
        "| `task` | string | `Classification` | `Classification` | What the network learns to do. |",
        "| `window` | string | `5m` | a whole number and s, m or h, for example 5m |",
        "| `suspend` | boolean | `false` |  |",
        "| `rollout` | object | its fields' defaults |  | How a new revision replaces the one that is served. |",
        "| `behavior` | object as it is |  |  | Behavior of autoscaling/v2 as it is. |",
        "| `conditions` | list of object, by type | How the model stands, one entry for each type. |",
        "| `replacedAt` | time | When another revision took its place. |",
        "| `status` | string | Whether it is so; Unknown where there is no data. One of `True`, `False`, `Unknown`. |",
        "| MIB | `status.kpis.memoryMebibytes` | MiB that a pod uses. |",
        '| REASON | `status.conditions[?(@.type=="Ready")].reason` |',
        "- minReplicas must be at most maxReplicas; lower the one or raise the other.",
    ],
)
def test_the_reference_states_type_default_allowed_and_meaning(row):
    lines = render_reference(render_crd()).splitlines()
    # What is learned from has the same fields, whoever's the network is.
    tables = 2 if row.split(" ")[1] in {"`batchSize`", "`momentum`"} else 1
    assert sum(line.startswith(row) for line in lines) == tables


@pytest.mark.parametrize("path", ["spec.build.nodeSelector", "spec.build.resources.requests"])
def test_the_reference_says_what_a_map_holds(path):
    held = {"nodeSelector": "map of string", "requests": "map of quantity"}[path.rpartition(".")[2]]
    lines = render_reference(render_crd()).splitlines()
    section = lines.index(f"## `{path.rpartition('.')[0]}`")
    row = next(line for line in lines[section:] if line.startswith(f"| `{path.rpartition('.')[2]}` |"))
    assert row.split(" | ")[1] == held
