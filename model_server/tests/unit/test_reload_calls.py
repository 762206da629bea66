"""Lists of models are loaded one after the other, and nobody else waits for them."""

import threading

import grpc
import pytest

from model_server.grpc_calls import CallServer
from model_server.reload_calls import MOST_RELOADS, ReloadCalls
from model_server.turns import Turns

WAIT_SECONDS = 20.0


class Running:
    """A server whose reloads wait until they may go on."""

    def __init__(self, address):
        self.go_on, self.threads = threading.Event(), []
        self.reloads = ReloadCalls(self._load, lambda call: call.refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many"))
        methods = {"/reload": self.reloads.take, "/other": lambda call: call.answer(b"other")}
        self.server = CallServer(methods, Turns(lambda: False, enabled=False), ())
        self.server.listen(address, None)
        self.reloads.start()
        self.server.start()
        self.channel = grpc.insecure_channel(address)

    def _load(self, call):
        self.threads.append(threading.current_thread().name)
        assert self.go_on.wait(WAIT_SECONDS)
        call.answer(call.message)

    def reload(self, number):
        """A list of models is sent."""
        return self.channel.unary_unary("/reload").future(bytes([number]), timeout=WAIT_SECONDS)

    def ask(self):
        """The answer to a call that needs no loading."""
        return self.channel.unary_unary("/other")(b"", timeout=WAIT_SECONDS)

    def stop(self, grace_seconds=5.0):
        """End the server."""
        self.server.stop(grace_seconds, self.reloads.give_up)


@pytest.fixture
def running(tmp_path):
    started = Running(f"unix:{tmp_path}/socket")
    yield started
    started.go_on.set()
    started.channel.close()


def test_one_is_loaded_the_others_wait_and_too_many_are_refused(running):
    calls = [running.reload(number) for number in range(MOST_RELOADS)]
    # Taken after all of them: calls of one connection come in order.
    assert running.ask() == b"other"
    refused = running.reload(99)
    assert (refused.code(), refused.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many")
    assert running.threads == ["grpc-reload"]
    running.go_on.set()
    assert [call.result() for call in calls] == [bytes([number]) for number in range(MOST_RELOADS)]
    assert set(running.threads) == {"grpc-reload"}
    assert running.reload(1).result() == b"\1"
    running.stop()


def test_the_end_waits_for_no_list_beyond_the_grace(running):
    calls = [running.reload(number) for number in range(3)]
    assert running.ask() == b"other"
    stopping = threading.Thread(target=running.stop, args=(0.3,))
    stopping.start()
    stopping.join(WAIT_SECONDS)
    assert not stopping.is_alive()
    assert {call.code() for call in calls} <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert running.threads == ["grpc-reload"]
