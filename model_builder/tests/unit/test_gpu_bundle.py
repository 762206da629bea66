"""scripts/gpu-bundle: what is in the folder that is carried; its packages are stood for by one file."""

import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import numpy as np
import pytest

from model_builder.dataset import FOLDER, TEST_FILE, TRAINING_FILES

SCRIPT = Path(__file__).parents[3] / "scripts" / "gpu-bundle"


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """Runs the script with arguments; its packages are a file of ten bytes."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("gpu_bundle", str(SCRIPT))
    script = module_from_spec(spec_from_loader("gpu_bundle", loader))
    loader.exec_module(script)

    def install(_python, site):
        site.mkdir(parents=True)
        (site / "package.py").write_bytes(bytes(10))

    monkeypatch.setattr(script, "_install", install)
    monkeypatch.delenv("MODELPRESS_DATA", raising=False)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["gpu-bundle", "--output", str(tmp_path / "gpu"), *arguments])
        return script.main()

    return run


@pytest.fixture
def published(tmp_path):
    """A folder that holds the data in the published layout, each file its own name."""
    folder = tmp_path / "data" / FOLDER
    folder.mkdir(parents=True)
    for name in (*TRAINING_FILES, TEST_FILE):
        (folder / name).write_text(name)
    return folder


def list_files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("below", [False, True])
def test_the_data_that_the_variable_names_are_packed(below, bundle, published, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MODELPRESS_DATA", str(published if below else published.parent))
    assert bundle() == 0
    assert list_files(tmp_path / "gpu") == [f"data/{FOLDER}.tar.xz", "site/package.py"]
    advised = f"-m tarfile -e {tmp_path}/gpu/data/{FOLDER}.tar.xz"
    assert f"python3 {advised} DATA\n" in capsys.readouterr().out
    subprocess.run([sys.executable, *advised.split(), str(tmp_path / "unpacked")], check=True)
    found = {path.name: path.read_text() for path in (tmp_path / "unpacked" / FOLDER).iterdir()}
    assert found == {name: name for name in (*TRAINING_FILES, TEST_FILE)}


def test_other_data_are_copied_and_can_be_replaced_whoever_may_write_the_first(bundle, tmp_path):
    packed = tmp_path / "packed"
    packed.mkdir()
    (packed / "images.npz").write_bytes(bytes(100))
    (packed / "images.npz").chmod(0o444)
    packed.chmod(0o555)
    for _ in range(2):
        assert bundle("--data", str(packed)) == 0
        assert list_files(tmp_path / "gpu") == ["data/images.npz", "site/package.py"]
        data = tmp_path / "gpu" / "data"
        assert [path.stat().st_mode & 0o777 for path in (data, data / "images.npz")] == [0o755, 0o644]


def test_data_that_are_too_large_are_left_out_with_a_sentence(bundle, published, tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 256, 61 * 2**20, np.uint8).tobytes()
    packed = tmp_path / "packed"
    packed.mkdir()
    (packed / "images.npz").write_bytes(noise)
    assert bundle("--data", str(packed)) == 1
    error = capsys.readouterr().err
    assert error.startswith(
        f"gpu-bundle: {packed}: 63,963,136 bytes when packed, with the packages 63,963,146, more than"
    )
    assert error.endswith("name a folder with a smaller copy by --data\n")
    assert list_files(tmp_path / "gpu") == ["site/package.py"]
    assert bundle("--data", str(published)) == 0


def test_without_data_it_says_that_they_are_not_in_it(bundle, tmp_path, capsys):
    assert bundle() == 0
    assert list_files(tmp_path / "gpu") == ["site/package.py"]
    assert "export MODELPRESS_DATA=DATA  # the folder that holds cifar-10-batches-bin; it is not in here\n" in (
        capsys.readouterr().out
    )


def test_a_folder_that_is_not_there_is_named_before_anything_is_removed(bundle, tmp_path, capsys):
    assert bundle() == 0
    assert bundle("--data", str(tmp_path / "nowhere")) == 1
    assert "nowhere: no such folder" in capsys.readouterr().err
    assert list_files(tmp_path / "gpu") == ["site/package.py"]
