import time

import numpy as np
import pytest

from model_server._protos.tensorflow.core.framework import tensor_pb2, types_pb2
from model_server._protos.tensorflow_serving.apis import input_pb2
from model_server.examples import read_input
from model_server.turns import (
    LARGEST_BYTES,
    MOST_SLOW,
    QUICK_FOR_A_SLOW,
    SLOW_SECONDS,
    ElsewhereError,
    Turns,
    check_work,
)
from model_server.wire_grpc import parse_tensor


@pytest.fixture
def busy():
    """What the interpreter is; a list, so that tests can change it."""
    return []


@pytest.fixture
def turns(busy):
    return Turns(lambda: bool(busy), enabled=True)


def test_the_first_runs_at_once_and_the_others_one_by_one(turns):
    done = []
    turns.offer(lambda: done.append("first"), done.clear)
    assert (done, turns.behind, len(turns)) == (["first"], True, 0)
    turns.offer(lambda: done.append("second"), done.clear)
    turns.offer(lambda: done.append("third"), done.clear)
    assert (done, len(turns)) == (["first"], 2)
    turns.take()
    assert (done, turns.behind, len(turns)) == (["first", "second"], True, 1)
    turns.take()
    assert (done, turns.behind) == (["first", "second", "third"], True)
    turns.take()
    assert not turns.behind


def test_who_finds_the_interpreter_busy_is_handed_over(turns, busy):
    done = []
    turns.offer(lambda: done.append("run"), lambda: done.append("handed over"))
    turns.offer(lambda: done.append("run"), lambda: done.append("handed over"))
    busy.append(True)
    turns.take()
    assert done == ["run", "handed over"]


def test_what_is_large_or_would_wait_suits_another_thread(turns, busy):
    assert turns.suit(LARGEST_BYTES)
    assert not turns.suit(LARGEST_BYTES + 1)
    busy.append(True)
    assert not turns.suit(1)
    assert not Turns(lambda: False, enabled=False).suit(1)


def test_predictions_that_are_slow_go_to_other_threads_after_some(turns, monkeypatch):
    clock = iter(number * (SLOW_SECONDS + 0.001) for number in range(2 * MOST_SLOW))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    suited = []
    for _ in range(MOST_SLOW):
        suited.append(turns.suit(1))
        turns.offer(lambda: None, lambda: None)
        turns.take()
    assert (all(suited), turns.suit(1)) == (True, False)


def test_now_and_then_a_slow_one_changes_nothing(turns, monkeypatch):
    times = []
    monkeypatch.setattr(time, "perf_counter", lambda: times.pop(0))
    for _ in range(3 * MOST_SLOW):
        for seconds in (SLOW_SECONDS + 0.001, *[0.001] * QUICK_FOR_A_SLOW):
            assert turns.suit(1)
            times += [0.0, seconds]
            turns.offer(lambda: None, lambda: None)
            turns.take()


def test_what_is_found_after_a_prediction_came_in_its_middle(turns, monkeypatch):
    """Nobody looked meanwhile, so that no arrival then is known better."""
    times = [1.0, 10.0, 12.0]
    monkeypatch.setattr(time, "perf_counter", lambda: times.pop(0))
    assert turns.date_arrival() == 1.0
    turns.offer(lambda: None, lambda: None)
    assert turns.date_arrival() == 11.0
    turns.take()
    times.append(20.0)
    assert turns.date_arrival() == 20.0


def test_a_prediction_that_fails_leaves_the_others_their_turns(turns):
    done = []

    def fail():
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        turns.offer(fail, done.clear)
    turns.offer(lambda: done.append("next"), done.clear)
    turns.take()
    assert done == ["next"]


def make_tensor(dtype, size, **values):
    tensor = tensor_pb2.TensorProto(dtype=dtype, **values)
    tensor.tensor_shape.dim.add().size = size
    return tensor


def make_examples(count, context_bytes):
    message = input_pb2.Input()
    shared = message.example_list_with_context
    shared.context.features.feature["x"].bytes_list.value.append(b"x" * context_bytes)
    for _ in range(count):
        shared.examples.add()
    return message


@pytest.mark.parametrize(
    "work",
    [
        lambda: parse_tensor("x", make_tensor(types_pb2.DT_FLOAT, LARGEST_BYTES // 4 + 1, float_val=[1])),
        lambda: parse_tensor("x", make_tensor(types_pb2.DT_STRING, 1000, string_val=[b"x" * 1000])),
        lambda: read_input(make_examples(count=1000, context_bytes=1000)),
    ],
)
def test_a_small_request_that_becomes_a_large_one_does_not_run_where_others_arrive(turns, work):
    with pytest.raises(ElsewhereError):
        turns.offer(work, lambda: None)
    assert len(work()) >= 1000


def test_what_does_not_grow_much_runs_where_it_arrived(turns):
    done = []
    tensor = make_tensor(types_pb2.DT_FLOAT, LARGEST_BYTES // 4, float_val=[1])
    turns.offer(lambda: done.append(parse_tensor("x", tensor)), done.clear)
    assert np.array_equal(done[0], np.ones(LARGEST_BYTES // 4, np.float32))
    check_work(LARGEST_BYTES + 1)
