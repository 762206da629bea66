"""The server's own way to take calls, in this process, under clients that do what they should not."""

import threading
import time

import grpc
import pytest
from waiting import wait_until

from model_server.grpc_calls import CallServer
from model_server.turns import Turns

WAIT_SECONDS = 20.0
ECHO = "/test.Echo/Echo"


class Running:
    """A server of this process, which remembers its calls."""

    def __init__(self, take, address, options=()):
        self.calls, self.ended = [], []
        self.address = address
        self.turns = Turns(lambda: False, enabled=True)
        self.server = CallServer({ECHO: self._take}, self.turns, (("grpc.so_reuseport", 0), *options))
        self._answer = take
        self.server.listen(address, None)
        self.server.start()
        self.stopped_seconds = None

    def _take(self, call):
        self.calls.append(call)
        call.ended = self.ended.append
        self._answer(call)

    def stop(self, grace_seconds=5.0):
        """End it once; the answer is how long that took."""
        if self.stopped_seconds is None:
            begun = time.monotonic()
            self.server.stop(grace_seconds)
            self.stopped_seconds = time.monotonic() - begun
        return self.stopped_seconds


@pytest.fixture
def start(tmp_path):
    """Start a server whose calls are taken by a function."""
    running = []

    def start_one(take=lambda call: call.answer(call.message), options=()):
        running.append(Running(take, f"unix:{tmp_path}/{len(running)}", options))
        return running[-1]

    yield start_one
    for server in running:
        server.stop()


@pytest.fixture
def connect():
    """A channel with connections of its own."""
    channels = []

    def connect_one(server, *options, **parts):
        channels.append(
            grpc.insecure_channel(server.address, (("grpc.use_local_subchannel_pool", 1), *options), **parts)
        )
        return channels[-1]

    yield connect_one
    for channel in channels:
        channel.close()


def refusal(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


def test_packed_requests_are_read(start, connect):
    server = start()
    channel = connect(server, compression=grpc.Compression.Gzip)
    assert channel.unary_unary(ECHO)(b"x" * 100_000, timeout=WAIT_SECONDS) == b"x" * 100_000
    assert server.calls[0].message == b"x" * 100_000


def test_metadata_of_any_kind_is_passed_over(start, connect):
    metadata = (("x-text", "a" * 1000), ("x-binary-bin", bytes(range(256))), ("authorization", "Bearer x"))
    assert connect(start()).unary_unary(ECHO)(b"a", metadata=metadata, timeout=WAIT_SECONDS) == b"a"


def test_messages_longer_than_told_are_refused_and_the_connection_goes_on(start, connect):
    channel = connect(start(options=(("grpc.max_receive_message_length", 1000),)))
    code, _ = refusal(lambda: channel.unary_unary(ECHO)(b"x" * 1001, timeout=WAIT_SECONDS))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert channel.unary_unary(ECHO)(b"x" * 1000, timeout=WAIT_SECONDS) == b"x" * 1000


def test_a_method_that_fails_is_told_and_holds_nobody_up(start, connect, caplog):
    def fail(_call):
        raise RuntimeError("no thread left")

    server = start(fail)
    assert refusal(lambda: connect(server).unary_unary(ECHO)(b"a", timeout=WAIT_SECONDS)) == (
        grpc.StatusCode.INTERNAL,
        "The server failed: its log says where.",
    )
    assert "no thread left" in caplog.text
    assert server.stop() < 5.0


def test_a_call_that_comes_during_a_prediction_is_dated_before_its_end(start, connect):
    begun, sent, ends = threading.Event(), threading.Event(), []

    def take(call):
        def run():
            begun.set()
            assert sent.wait(WAIT_SECONDS)
            ends.append(time.perf_counter())
            call.answer(b"")

        server.turns.offer(run, lambda: None)

    server = start(take)
    echo = connect(server).unary_unary(ECHO)
    first = echo.future(b"", timeout=WAIT_SECONDS)
    assert begun.wait(WAIT_SECONDS)
    second = echo.future(b"", timeout=WAIT_SECONDS)
    time.sleep(1.0)
    sent.set()
    assert (first.result(), second.result()) == (b"", b"")
    assert server.calls[1].arrived_seconds < ends[0] - 0.4


def test_what_is_sent_after_the_answer_is_not(start, connect):
    def answer_twice(call):
        call.answer(b"first")
        call.answer(b"second")
        call.refuse(grpc.StatusCode.INTERNAL, "third")

    server = start(answer_twice)
    channel = connect(server)
    assert [channel.unary_unary(ECHO)(b"", timeout=WAIT_SECONDS) for _ in range(3)] == [b"first"] * 3
    wait_until(lambda: len(server.ended) == 3)


def test_details_that_are_no_unicode_are_told_as_far_as_they_are(start, connect):
    server = start(lambda call: call.refuse(grpc.StatusCode.UNKNOWN, "file \udcff"))
    assert refusal(lambda: connect(server).unary_unary(ECHO)(b"", timeout=WAIT_SECONDS)) == (
        grpc.StatusCode.UNKNOWN,
        "file ?",
    )


def test_who_vanishes_while_it_is_answered_is_known_to_have_and_its_answer_is_dropped(start, connect):
    go_on = threading.Event()

    def answer_late(call):
        def wait_and_answer():
            go_on.wait(WAIT_SECONDS)
            call.answer(b"too late")

        threading.Thread(target=wait_and_answer).start()

    server = start(answer_late)
    channel = connect(server)
    # Held until the channel closes: a future that nothing refers to cancels its call, perhaps before it was sent.
    answer = channel.unary_unary(ECHO).future(b"a", timeout=WAIT_SECONDS)
    wait_until(lambda: server.calls)
    channel.close()
    assert answer.code() is grpc.StatusCode.CANCELLED
    wait_until(lambda: server.calls[0].cancelled)
    assert server.ended == []
    go_on.set()
    wait_until(lambda: server.ended == server.calls)


def test_who_has_no_time_left_is_told_and_known_to_be_gone(start, connect):
    server = start(lambda _call: None)
    code, _ = refusal(lambda: connect(server).unary_unary(ECHO)(b"a", timeout=0.3))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until(lambda: server.calls[0].cancelled)
    assert server.calls[0].read_seconds_left() == 0.0
    server.calls[0].refuse(grpc.StatusCode.CANCELLED, "")
    wait_until(lambda: server.ended == server.calls)


def test_a_call_without_a_deadline_has_centuries(start, connect):
    server = start()
    connect(server).unary_unary(ECHO)(b"a")
    assert server.calls[0].read_seconds_left() > 3e9


def test_clients_that_never_send_their_request_do_not_hold_the_end_up(start, connect):
    server = start()
    channel = connect(server)
    hold = threading.Event()

    def send_nothing():
        hold.wait(WAIT_SECONDS)
        return iter(())

    def messages():
        yield from send_nothing()

    call = channel.stream_unary(ECHO).future(messages(), timeout=WAIT_SECONDS)
    assert channel.unary_unary(ECHO)(b"a", timeout=WAIT_SECONDS) == b"a"
    try:
        assert server.stop(grace_seconds=0.3) < 5.0
        assert call.code() in {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}
    finally:
        hold.set()


def test_what_is_under_way_is_answered_within_the_grace(start, connect):
    def answer_late(call):
        threading.Timer(0.3, call.answer, (b"late",)).start()

    server = start(answer_late)
    call = connect(server).unary_unary(ECHO).future(b"a", timeout=WAIT_SECONDS)
    wait_until(lambda: server.calls)
    assert server.stop(grace_seconds=10.0) < 5.0
    assert call.result() == b"late"


def test_new_connections_are_refused_after_the_end(start, connect):
    server = start()
    assert connect(server).unary_unary(ECHO)(b"a", timeout=WAIT_SECONDS) == b"a"
    server.stop()
    code, _ = refusal(lambda: connect(server).unary_unary(ECHO)(b"a", timeout=WAIT_SECONDS))
    assert code is grpc.StatusCode.UNAVAILABLE


def test_many_connections_are_answered_and_leave_nothing_open(start, connect):
    server = start()
    for round_number in range(3):
        channels = [connect(server) for _ in range(30)]
        calls = [
            channel.unary_unary(ECHO).future(bytes([number]), timeout=WAIT_SECONDS)
            for number, channel in enumerate(channels)
        ]
        assert [call.result() for call in calls] == [bytes([number]) for number in range(30)]
        # Half of them hang up with another call under way.
        for channel in channels[::2]:
            channel.unary_unary(ECHO).future(b"gone", timeout=WAIT_SECONDS)
            channel.close()
        assert len(server.calls) >= 30 * (round_number + 1)
    wait_until(lambda: len(server.ended) == len(server.calls))
    assert server.stop() < 5.0


def test_an_address_that_cannot_be_opened_is_an_error(tmp_path):
    server = CallServer({}, Turns(lambda: False, enabled=True), ())
    with pytest.raises(OSError, match="nowhere"):
        server.listen(f"unix:{tmp_path}/nowhere/socket", None)
    server.start()
    server.stop(1.0)


def test_the_end_of_an_idle_server_is_waited_for_in_order(tmp_path):
    # The core's own end and ours met in freed memory, one time in a few.
    for number in range(50):
        server = CallServer({}, Turns(lambda: False, enabled=True), ())
        server.listen(f"unix:{tmp_path}/{number}", None)
        server.start()
        server.stop(5.0)
