"""The access log never stands in the way: not of a request, and not of the end of the process."""

import contextlib
import fcntl
import json
import os
import threading
import time

import pytest

from model_server.access_log import AccessLog
from model_server.rest_routes import RestResponse


@pytest.fixture
def pipe():
    """Both ends of a pipe that takes a page; they are closed at the end, if they are not yet."""
    ends = os.pipe()
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 4096)
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


def add(log, path):
    log.add("REST", "POST", path, "200", 0.001, 18, 30)


def read_lines(end, count):
    text = b""
    while text.count(b"\n") < count:
        part = os.read(end, 65536)
        assert part, text
        text += part
    return [json.loads(line) for line in text.splitlines() if line]


def test_lines_are_written_in_order_and_all_of_them_before_the_end(pipe):
    log = AccessLog(pipe[1])
    for number in range(5):
        add(log, str(number))
    log.close()
    assert [line["path"] for line in read_lines(pipe[0], 5)] == list("01234")


def test_a_path_is_kept_no_longer_than_it_helps(pipe):
    log = AccessLog(pipe[1])
    add(log, "x" * 1024)
    add(log, "é" * 1_000_000)
    assert [line["path"] for line in read_lines(pipe[0], 2)] == ["x" * 1024, "é" * 1024]
    log.close()


def test_lines_that_cannot_be_written_are_counted_and_the_next_ones_follow(pipe, caplog):
    # Full for ever, whatever is written.
    descriptor = os.open("/dev/full", os.O_WRONLY)
    log = AccessLog(descriptor)
    try:
        add(log, "lost")
        wait_for(lambda: "cannot be written" in caplog.text)
        os.dup2(pipe[1], descriptor)
        add(log, "kept")
        (line,) = read_lines(pipe[0], 1)
    finally:
        log.close()
        os.close(descriptor)
    assert (line["path"], line["leftOut"]) == ("kept", 1)


def test_a_reader_that_has_gone_ends_neither_the_writer_nor_the_process(pipe, caplog):
    os.close(pipe[0])
    log = AccessLog(pipe[1])
    for number in range(3):
        add(log, str(number))
        wait_for(lambda: "cannot be written" in caplog.text)
    started = time.monotonic()
    log.close(grace_seconds=20.0)
    assert time.monotonic() - started < 10
    # Told once, not for every line.
    assert caplog.text.count("cannot be written") == 1


@pytest.mark.parametrize("count", [200, 11_000])
def test_a_reader_that_does_not_read_delays_the_end_by_no_more_than_the_grace(pipe, caplog, count):
    log = AccessLog(pipe[1])
    for number in range(count):
        add(log, f"a path so long that few of them fill the pipe, number {number}")
    closing = threading.Thread(target=log.close, args=(0.2,))
    closing.start()
    closing.join(20)
    assert not closing.is_alive()
    assert "its reader does not read" in caplog.text
    # The writer ends when what it stands in ends.
    os.close(pipe[0])
    wait_for(lambda: not any(thread.name == "access-log" for thread in threading.enumerate()))


@pytest.mark.parametrize(
    ("response", "size"),
    [
        (RestResponse(200, "plain"), 5),
        (RestResponse(200, "é"), 2),
        (RestResponse(200, "a long text that was packed", packed=b"123"), 3),
        (RestResponse(200, ""), 0),
    ],
)
def test_the_size_of_an_answer_is_that_of_the_bytes_sent(response, size):
    assert response.size_bytes == size


def wait_for(predicate):
    deadline = time.monotonic() + 20
    while not predicate():
        assert time.monotonic() < deadline
        time.sleep(0.005)
