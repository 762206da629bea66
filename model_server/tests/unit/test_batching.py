import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from waiting import wait_until

from model_server.batching import BatchingEngine
from model_server.batching_settings import Batching, BatchingSettings, load_batching
from model_server.engine import GraphSignature, Tensor
from model_server.errors import DeadlineExceededError, InvalidArgumentError, LoadError, StartupError, UnavailableError

FLOAT = np.dtype(np.float32)
SIGNATURES = {
    "s": GraphSignature({"x": Tensor("x", FLOAT, (-1, -1))}, {"y": Tensor("y", FLOAT, (-1, -1))}),
    "total": GraphSignature({"x": Tensor("x", FLOAT, (-1, -1))}, {"y": Tensor("y", FLOAT, ())}),
}
WAIT_SECONDS = 20


class SlowEngine:
    """Doubles its input; every run waits until it may go on."""

    def __init__(self):
        self.signatures = SIGNATURES
        self.may_run = threading.Event()
        self.may_run.set()
        self.sizes = []
        self.closed = False

    def run(self, signature, inputs, _timeout_seconds=None, observe=None):
        """The doubled items, or with `total` their sum, which has no items."""
        x = inputs["x"]
        self.sizes.append(len(x) if x.ndim else None)
        assert self.may_run.wait(WAIT_SECONDS)
        if x.size and x.max() > 1000:
            raise InvalidArgumentError("too large")
        if observe is not None:
            observe(0.0, 0.0)
        return {"y": x.sum() if signature == "total" else 2 * x}

    def give_up(self):
        """Nobody waits here."""

    def close(self):
        """Remember it."""
        self.closed = True


@pytest.fixture
def engine():
    return SlowEngine()


@pytest.fixture
def threads():
    with ThreadPoolExecutor(16) as pool:
        yield pool


def items(*values):
    return {"x": np.array(values, np.float32).reshape(len(values), 1)}


def run_joined(batching, engine, threads, requests, signature="s"):
    """The answers of requests that all came while another one was run."""
    engine.may_run.clear()
    first = threads.submit(batching.run, signature, items(0.0))
    wait_until(lambda: len(engine.sizes) == 1)
    futures = []
    for number, request in enumerate(requests):
        futures.append(threads.submit(batching.run, signature, request))
        wait_until(lambda expected=number + 1: len(batching._waiting) == expected)
    engine.may_run.set()
    assert first.result(WAIT_SECONDS)["y"].reshape(-1).tolist() == [0.0]
    return futures


def test_requests_that_wait_are_run_together(engine, threads):
    told = []
    batching = BatchingEngine(engine, Batching(threads=1), lambda *facts: told.append(facts[:2]))
    futures = run_joined(batching, engine, threads, [items(1.0), items(2.0, 3.0), items(4.0)])
    assert [future.result(WAIT_SECONDS)["y"].reshape(-1).tolist() for future in futures] == [[2.0], [4.0, 6.0], [8.0]]
    assert engine.sizes == [1, 4]
    assert told == [(1, 0), (4, 0)]


def test_batches_are_no_larger_than_allowed(engine, threads):
    batching = BatchingEngine(engine, Batching(threads=1, max_size=3))
    futures = run_joined(batching, engine, threads, [items(1.0, 2.0), items(3.0, 4.0), items(5.0)])
    assert [len(future.result(WAIT_SECONDS)["y"]) for future in futures] == [2, 2, 1]
    assert engine.sizes == [1, 2, 3]


def test_batches_are_filled_up_to_an_allowed_size(engine, threads):
    batching = BatchingEngine(engine, Batching(threads=1, max_size=8, allowed_sizes=(4, 8)))
    assert batching.run("s", items(1.0))["y"].tolist() == [[2.0]]
    futures = run_joined(batching, SlowWatch(engine, 1), threads, [items(1.0, 2.0, 3.0), items(4.0, 5.0)])
    assert [future.result(WAIT_SECONDS)["y"].shape for future in futures] == [(3, 1), (2, 1)]
    assert engine.sizes == [4, 4, 8]


class SlowWatch:
    """The engine, as if its first runs had not been."""

    def __init__(self, engine, done):
        self.may_run = engine.may_run
        self._engine = engine
        self._done = done

    @property
    def sizes(self):
        """The sizes of later runs."""
        return self._engine.sizes[self._done :]


def test_items_of_another_shape_go_into_a_batch_of_their_own(engine, threads):
    batching = BatchingEngine(engine, Batching(threads=1))
    wide = {"x": np.ones((1, 2), np.float32)}
    futures = run_joined(batching, engine, threads, [items(1.0), wide, items(2.0)])
    assert [future.result(WAIT_SECONDS)["y"].shape for future in futures] == [(1, 1), (1, 2), (1, 1)]
    assert engine.sizes == [1, 2, 1]


def test_bad_request_spoils_no_other(engine, threads):
    batching = BatchingEngine(engine, Batching(threads=1))
    futures = run_joined(batching, engine, threads, [items(1.0), items(5000.0), items(2.0)])
    assert futures[0].result(WAIT_SECONDS)["y"].tolist() == [[2.0]]
    with pytest.raises(InvalidArgumentError, match="too large"):
        futures[1].result(WAIT_SECONDS)
    assert futures[2].result(WAIT_SECONDS)["y"].tolist() == [[4.0]]


def test_outputs_without_items_are_made_one_by_one_from_then_on(engine, threads):
    batching = BatchingEngine(engine, Batching(threads=1))
    engine.may_run.clear()
    first = threads.submit(batching.run, "total", items(0.0))
    wait_until(lambda: len(engine.sizes) == 1)
    futures = [threads.submit(batching.run, "total", items(number)) for number in (1.0, 2.0)]
    wait_until(lambda: len(batching._waiting) == 2)
    engine.may_run.set()
    assert [float(future.result(WAIT_SECONDS)["y"]) for future in (first, *futures)] == [0.0, 1.0, 2.0]
    assert sorted(engine.sizes) == [1, 1, 1, 2]
    assert float(batching.run("total", items(1.0, 2.0))["y"]) == 3.0


def test_what_has_no_items_goes_straight_through(engine):
    batching = BatchingEngine(engine, Batching(threads=1, max_size=2))
    assert batching.run("s", {"x": np.array([1.0], np.float32)})["y"].tolist() == [2.0]
    assert batching.run("s", items(1.0, 2.0, 3.0))["y"].shape == (3, 1)
    assert batching.run("s", {"x": np.zeros((0, 1), np.float32)})["y"].shape == (0, 1)


def test_full_queue_refuses(engine, threads):
    batching = BatchingEngine(engine, Batching(threads=1, max_size=2, max_enqueued=1))
    engine.may_run.clear()
    running = threads.submit(batching.run, "s", items(1.0))
    wait_until(lambda: len(engine.sizes) == 1)
    waiting = threads.submit(batching.run, "s", items(1.0, 2.0))
    wait_until(lambda: len(batching._waiting) == 1)
    with pytest.raises(
        UnavailableError, match=r"^The batch scheduling queue to which this task was submitted is full$"
    ):
        batching.run("s", items(1.0))
    engine.may_run.set()
    assert [len(future.result(WAIT_SECONDS)["y"]) for future in (running, waiting)] == [1, 2]


def test_request_whose_time_is_over_leaves_the_queue(engine, threads):
    batching = BatchingEngine(engine, Batching(threads=1))
    engine.may_run.clear()
    running = threads.submit(batching.run, "s", items(1.0))
    wait_until(lambda: len(engine.sizes) == 1)
    with pytest.raises(DeadlineExceededError):
        batching.run("s", items(2.0), 0.01)
    engine.may_run.set()
    running.result(WAIT_SECONDS)
    assert (len(batching._waiting), batching._waiting_items, engine.sizes) == (0, 0, [1])


def test_leader_waits_for_a_full_batch(engine, threads):
    batching = BatchingEngine(engine, Batching(threads=2, max_size=3, wait_seconds=WAIT_SECONDS))
    futures = [threads.submit(batching.run, "s", items(float(number))) for number in range(3)]
    assert [float(future.result(WAIT_SECONDS / 2)["y"][0, 0]) for future in futures] == [0.0, 2.0, 4.0]
    assert engine.sizes == [3]


def test_leader_waits_no_longer_than_told(engine):
    batching = BatchingEngine(engine, Batching(threads=1, wait_seconds=0.01))
    assert batching.run("s", items(1.0))["y"].tolist() == [[2.0]]
    assert batching._gathering == {}


@pytest.mark.parametrize("wait_seconds", [0.0, 0.001])
def test_everyone_gets_their_own_answer(engine, threads, wait_seconds):
    batching = BatchingEngine(engine, Batching(threads=2, max_size=7, wait_seconds=wait_seconds))

    def ask(seed):
        random = np.random.default_rng(seed)
        for _ in range(100):
            x = random.random((random.integers(1, 9), 1), np.float32)
            np.testing.assert_array_equal(batching.run("s", {"x": x})["y"], 2 * x)
        return True

    assert all(threads.map(ask, range(12), timeout=60))
    assert (batching._running, batching._waiting_items, len(batching._waiting)) == (0, 0, 0)


def test_giving_up_ends_every_wait_and_what_is_run_goes_on(engine, threads):
    batching = BatchingEngine(engine, Batching(threads=2, max_size=2, wait_seconds=WAIT_SECONDS))
    engine.may_run.clear()
    running = threads.submit(batching.run, "s", items(1.0, 2.0))
    wait_until(lambda: engine.sizes == [2])
    gathering = threads.submit(batching.run, "s", items(3.0))
    wait_until(lambda: batching._gathering)
    wide = {"x": np.ones((1, 2), np.float32)}
    waiting = [threads.submit(batching.run, "s", wide) for _ in range(2)]
    wait_until(lambda: len(batching._waiting) == 2)
    batching.give_up()
    for each in waiting:
        with pytest.raises(UnavailableError, match="The server is ending"):
            each.result(WAIT_SECONDS / 2)
    with pytest.raises(UnavailableError, match="The server is ending"):
        batching.run("s", items(6.0))
    # The engine behind decides over the batch that waited for more; this one takes everything.
    wait_until(lambda: engine.sizes == [2, 1])
    engine.may_run.set()
    assert [len(future.result(WAIT_SECONDS / 2)["y"]) for future in (running, gathering)] == [2, 1]
    assert (batching._running, batching._waiting_items, len(batching._waiting)) == (0, 0, 0)


def test_closing_closes_the_engine_behind(engine):
    BatchingEngine(engine, Batching(threads=1)).close()
    assert engine.closed


def write(tmp_path, text):
    file = tmp_path / "batching.txt"
    file.write_text(text)
    return file


def test_parameters_are_read(tmp_path):
    text = """max_batch_size { value: 32 } batch_timeout_micros { value: 5000 } max_enqueued_batches { value: 7 }
    num_batch_threads { value: 3 } allowed_batch_sizes: 8 allowed_batch_sizes: 32 thread_pool_name { value: "x" }"""
    assert load_batching(write(tmp_path, text), 1) == Batching(3, 32, 0.005, 7, (8, 32))
    assert load_batching(None, 4) == Batching(4, 1000, 0.0, 10)
    assert [Batching(1, 32, allowed_sizes=(8, 32)).padded_size(size) for size in (1, 8, 9, 32)] == [8, 8, 32, 32]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size { value: 0 }", "has max_batch_size=0: give 1 or more"),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 4",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 8",
        ),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 8 allowed_batch_sizes: 8",
            "entries must be monotonically increasing",
        ),
        ("pad_variable_length_inputs: true", "has pad_variable_length_inputs, which is not possible here"),
        ("max_batch: 1", "Error parsing text-format tensorflow.serving.BatchingParameters"),
    ],
)
def test_parameters_that_are_not_possible_are_refused(tmp_path, text, message):
    with pytest.raises(StartupError, match=message):
        load_batching(write(tmp_path, text), 1)


def test_versions_may_bring_their_own_parameters(tmp_path):
    settings = BatchingSettings(Batching(threads=2))
    assert settings.load(tmp_path) == Batching(threads=2)
    own = BatchingSettings(Batching(threads=2), per_model=True)
    assert own.load(tmp_path) is None
    (tmp_path / "batching_params.pbtxt").write_text("max_batch_size { value: 4 }")
    assert own.load(tmp_path) == Batching(threads=2, max_size=4)
    (tmp_path / "batching_params.pbtxt").write_text("max_batch_size {")
    with pytest.raises(LoadError, match="Error parsing text-format"):
        own.load(tmp_path)
