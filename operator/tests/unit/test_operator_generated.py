import subprocess
import sys

import pytest
import yaml

from model_operator.api.crd import CRD_FILE, REFERENCE_FILE, main, read_outdated_files, render_crd, render_files


@pytest.fixture
def written(tmp_path):
    """A folder like the repository's root, with the generated files in it."""
    (tmp_path / "crds").mkdir()
    (tmp_path / "docs").mkdir()
    assert main(["--root", str(tmp_path)]) == 0
    return tmp_path


def test_the_committed_files_are_current(repository):
    assert read_outdated_files(repository) == []


def test_there_are_two_generated_files():
    assert list(render_files()) == [CRD_FILE, REFERENCE_FILE] == ["crds/compressedmodels.yaml", "docs/api.md"]


def test_the_files_say_where_they_come_from():
    notice = "generated from operator/src/model_operator/api/v1alpha1.py; edit that and run make crds"
    first_lines = [text.partition("\n")[0] for text in render_files().values()]
    assert first_lines == [f"# {notice}", f"<!-- {notice} -->"]


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
    assert (
        capsys.readouterr().err == f"there is no folder {tmp_path / 'crds'}; name the repository's root with --root\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_the_command_works_from_the_current_folder(written):
    command = [sys.executable, "-m", "model_operator.api.crd", "--check"]
    assert subprocess.run(command, cwd=written, check=False, timeout=60).returncode == 0
    (written / CRD_FILE).write_text("edited\n", encoding="utf-8")
    assert subprocess.run(command, cwd=written, check=False, timeout=60, capture_output=True).returncode == 1


def test_the_reference_states_required_default_allowed_and_meaning():
    lines = render_files()[REFERENCE_FILE].splitlines()
    assert [line for line in lines if line.startswith("## ")] == [
        "## `spec`",
        "## `spec.compression`",
        "## `spec.source`",
        "## `spec.source.training`",
    ]
    for row in (
        "| `bits` | integer | required | 2 to 16, or 32 to leave weights unquantised | Bits of a weight's code. |",
        "| `batchSize` | integer | `64` | at least 1; at most 65536 | Images of one training step. |",
        "| `momentum` | number | `0.9` | at least 0; less than 1 | Momentum of stochastic gradient descent. |",
        "| `task` | string | `Classification` | `Classification` | What the network learns to do. |",
    ):
        assert lines.count(row) == 1, row
