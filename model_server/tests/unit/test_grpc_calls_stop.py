"""A call that has arrived when the server is told to stop is answered."""

import threading

import grpc

from model_server.grpc_calls import CallServer
from model_server.turns import Turns

TIMEOUT_SECONDS = 20


def test_a_call_that_was_taken_before_the_stop_and_read_after_it_is_answered(tmp_path):
    begun, told = threading.Event(), threading.Event()

    def hold(call):
        begun.set()
        assert told.wait(TIMEOUT_SECONDS)
        call.answer(b"first")

    def answer(call):
        call.answer(b"second")

    address = f"unix:{tmp_path}/socket"
    server = CallServer({"/hold": hold, "/answer": answer}, Turns(lambda: False, enabled=False), [])
    server.listen(address, None)
    server.start()
    with grpc.insecure_channel(address) as channel, grpc.insecure_channel(address, [("a", 1)]) as other:
        first = channel.unary_unary("/hold").future(b"", timeout=TIMEOUT_SECONDS)
        assert begun.wait(TIMEOUT_SECONDS)
        # the server's thread is held in the first call; the core takes the second one meanwhile
        second = other.unary_unary("/answer").future(b"", timeout=TIMEOUT_SECONDS)
        grpc.channel_ready_future(other).result(TIMEOUT_SECONDS)
        stopping = threading.Thread(target=server.stop, args=(TIMEOUT_SECONDS,))
        threading.Timer(0.5, stopping.start).start()
        threading.Timer(1.0, told.set).start()
        assert first.result() == b"first"
        assert second.result() == b"second"
        stopping.join(TIMEOUT_SECONDS)
    assert not stopping.is_alive()
