import os
from pathlib import Path

import pytest

from model_server.cpu_limit import read_processors

AFFINITY = len(os.sched_getaffinity(0))


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_without_cgroups_the_affinity_counts(tmp_path):
    assert read_processors(tmp_path, tmp_path / "absent") == AFFINITY


@pytest.mark.parametrize(
    ("quota", "processors"),
    [
        ("max 100000\n", AFFINITY),
        ("50000 100000\n", 1),
        ("6400000 100000\n", AFFINITY),
        ("garbage\n", AFFINITY),
    ],
)
def test_version_2_quota_is_rounded_up_within_the_affinity(tmp_path, quota, processors):
    write(tmp_path, cpu__max=quota)
    assert read_processors(tmp_path, tmp_path / "absent") == processors


def test_version_1_quota_counts(tmp_path):
    write(tmp_path / "cpu", cpu__cfs_quota_us="20000\n", cpu__cfs_period_us="100000\n")
    assert read_processors(tmp_path, tmp_path / "absent") == 1


def test_version_1_without_quota_is_unlimited(tmp_path):
    write(tmp_path / "cpu", cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    assert read_processors(tmp_path, tmp_path / "absent") == AFFINITY


def test_tightest_quota_on_the_way_to_the_root_counts(tmp_path):
    write(tmp_path / "root/pods/one", cpu__max="max 100000")
    write(tmp_path / "root/pods", cpu__max="100000 100000")
    own = tmp_path / "own"
    own.write_text("0::/pods/one\n")
    assert read_processors(tmp_path / "root", own) == 1


def test_own_group_of_version_1_counts(tmp_path):
    write(tmp_path / "root/cpu,cpuacct/pod", cpu__cfs_quota_us="100000", cpu__cfs_period_us="100000")
    own = tmp_path / "own"
    own.write_text("5:cpu,cpuacct:/pod\n4:memory:/pod\n")
    assert read_processors(tmp_path / "root", own) == 1
