"""What is there is not built again; what is missing on the machine is said in one sentence; nothing is left behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from images import building
from images.__main__ import main
from images.buildah import Buildah
from images.building import archive_path, write_archives
from images.errors import ImageError
from images.sources import ROOT, TARGETS
from images.steps import Steps


def test_the_command_prints_names_and_leaves_finished_archives_alone(image_names):
    before = [archive_path(target).stat() for target in TARGETS]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "e2e"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-m", "images"], check=False, capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "".join(f"{image_names[each]}\n" for each in TARGETS), "")
    after = [archive_path(target).stat() for target in TARGETS]
    assert [(each.st_ino, each.st_mtime_ns) for each in after] == [(each.st_ino, each.st_mtime_ns) for each in before]


def test_an_unknown_target_is_one_sentence(capsys):
    assert main(["chart"]) == 1
    assert capsys.readouterr().err == f"images: there is no image `chart`: choose from {', '.join(TARGETS)}\n"


def test_without_buildah_the_remedy_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ImageError, match=r"^buildah is not installed: run `scripts/bootstrap node` as root"):
        write_archives(["server"], lambda _: None)


def test_without_root_the_remedy_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ImageError, match=r"^building images needs root: run as root"):
        write_archives(["server"], lambda _: None)


def test_a_small_disk_is_refused_before_the_build(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(building.FREE_BYTES, "server", 10**18)
    try:
        with pytest.raises(
            ImageError, match=r"GB are free below .*, but server needs 1000000000: free some, or set XDG"
        ):
            write_archives(["server"], lambda _: None)
    finally:
        unmount(tmp_path)


@pytest.mark.parametrize("driver", ["overlay", "vfs"])
def test_a_failed_build_says_why_and_leaves_no_container(driver, tmp_path):
    buildah = Buildah(tmp_path, Steps(tmp_path / "logs", lambda _: None), driver)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\nCOPY missing /\n")
    try:
        with pytest.raises(ImageError, match=r'^image x failed \(.*"/missing": no such file.*\): read .*image-x\.log'):
            buildah.run("image x", "build", "--layers", "--force-rm", tmp_path)
        assert buildah.read("containers", "--quiet") == ""
        buildah.read("from", "scratch")
        assert buildah.read("containers", "--quiet") != ""
        buildah.drop_leftovers()
        assert buildah.read("containers", "--quiet") == ""
    finally:
        unmount(tmp_path)


@pytest.mark.parametrize("driver", ["overlay", "vfs"])
def test_a_new_tag_takes_the_place_of_the_old_one(driver, tmp_path):
    buildah = Buildah(tmp_path, Steps(tmp_path / "logs", lambda _: None), driver)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    names = ["localhost/x:1", "localhost/y:1", "localhost/x:2"]
    try:
        for name in names:
            buildah.run("image", "build", "--layers", f"--tag={name}", tmp_path)
        assert [buildah.has(name) for name in names] == [True, True, True]
        buildah.drop_older("localhost/x:2")
        assert [buildah.has(name) for name in names] == [False, True, True]
        buildah.write_archive("localhost/y:1", tmp_path / "y.tar")
        assert [path.name for path in tmp_path.glob("y.tar*")] == ["y.tar"]
    finally:
        unmount(tmp_path)


def unmount(folder):
    """End what the storage below the folder keeps mounted, and remove what it keeps outside."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((each for each in mounts if each.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", mount], check=True)
    for cache in (folder, folder / "modelpress" / "images"):
        shutil.rmtree(Buildah(cache, Steps(folder, print), "vfs").run_root, ignore_errors=True)
