import os

import pytest

from model_server.memory_limit import LEAST_BYTES, MOST_REST_BYTES, RequestLimits, plan_request_limits, read_memory_left

MEBIBYTE = 1024 * 1024
PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def statm(tmp_path):
    """A process that holds 100 pages."""
    file = tmp_path / "statm"
    file.write_text("1000 100 50 1 0 70 0\n")
    return file


def write(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_without_cgroups_there_is_no_limit(tmp_path, statm):
    assert read_memory_left(tmp_path / "absent", tmp_path / "absent", statm) is None


def test_the_tightest_limit_of_version_2_counts_less_what_is_held(tmp_path, statm):
    write(tmp_path / "root/pods/one", "memory.max", "max\n")
    write(tmp_path / "root/pods", "memory.max", "268435456\n")
    write(tmp_path / "root", "memory.max", "1073741824\n")
    (tmp_path / "own").write_text("0::/pods/one\n")
    assert read_memory_left(tmp_path / "root", tmp_path / "own", statm) == 256 * MEBIBYTE - 100 * PAGE


def test_the_limit_of_version_1_counts(tmp_path, statm):
    write(tmp_path / "root/memory/pod", "memory.limit_in_bytes", "268435456\n")
    write(tmp_path / "root/memory", "memory.limit_in_bytes", "9223372036854771712\n")
    (tmp_path / "own").write_text("5:cpu,cpuacct:/pod\n4:memory:/pod\n")
    assert read_memory_left(tmp_path / "root", tmp_path / "own", statm) == 256 * MEBIBYTE - 100 * PAGE


def test_more_is_held_than_is_allowed(tmp_path, statm):
    write(tmp_path, "memory.max", "4096")
    assert read_memory_left(tmp_path, tmp_path / "absent", statm) == 0


@pytest.mark.parametrize(
    ("left_bytes", "rest_bytes", "grpc_bytes"),
    [
        (0, LEAST_BYTES, LEAST_BYTES),
        (100 * MEBIBYTE, LEAST_BYTES, 25 * MEBIBYTE),
        (800 * MEBIBYTE, 100 * MEBIBYTE, 200 * MEBIBYTE),
        (2**40, MOST_REST_BYTES, 2**38),
    ],
)
def test_requests_get_shares_of_what_is_left(left_bytes, rest_bytes, grpc_bytes):
    limits = plan_request_limits(left_bytes)
    assert (limits.rest_bytes, limits.grpc_bytes) == (rest_bytes, grpc_bytes)
    assert limits.grpc_message_bytes == min(grpc_bytes, 2**31 - 1)


def test_without_a_limit_it_is_as_it_was():
    assert plan_request_limits(None) == RequestLimits()
    assert (RequestLimits().rest_bytes, RequestLimits().grpc_message_bytes) == (2**30, 2**31 - 1)
