import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from model_server.engines import litert
from model_server.engines.litert import LiteRtEngine
from model_server.errors import DeadlineExceededError, InvalidArgumentError, LoadError, UnavailableError

WAIT_SECONDS = 20.0


@pytest.fixture
def load(models):
    def open_engine(name, interpreters=1):
        return LiteRtEngine(models / name / "model.tflite", workers=interpreters, threads=1)

    return open_engine


def floats(*shape):
    return np.ones(shape, np.float32)


def test_every_signature_of_the_file_answers(load):
    engine = load("half_plus_two")
    x = np.array([[1.0], [2.0]], np.float32)
    assert engine.run("serving_default", {"x": x})["y"].tolist() == [[2.5], [3.0]]
    assert engine.run("triple", {"x": x})["y"].tolist() == [[3.0], [6.0]]


@pytest.mark.parametrize("shape", [(), (2,), (0, 1), (3, 4, 5), (1, 7)])
def test_rank_is_not_enforced_where_the_graph_takes_it(load, shape):
    y = load("half_plus_two").run("serving_default", {"x": floats(*shape)})["y"]
    np.testing.assert_array_equal(y, np.full(shape, 2.5, np.float32))


def test_batch_sizes_may_change_from_request_to_request(load):
    engine = load("tiny_image")
    images = np.random.default_rng(0).normal(size=(5, 8, 8, 3)).astype(np.float32)
    alone = np.concatenate([engine.run("serving_default", {"image": images[i : i + 1]})["scores"] for i in range(5)])
    together = engine.run("serving_default", {"image": images})["scores"]
    np.testing.assert_allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize(
    "shape",
    [
        (8, 8, 3),
        (192,),
        (),
        (1, 8, 8, 4),
        (1, 9, 9, 3),
        (1, 4, 4, 3),
        (1, 1, 8, 8, 3),
        (1, 0, 8, 3),
        (0,),
        (1, 8, 8),
    ],
)
def test_shapes_that_the_graph_cannot_take_are_refused_and_do_no_harm(load, shape):
    engine = load("tiny_image")
    before = engine.run("serving_default", {"image": floats(1, 8, 8, 3)})["scores"]
    with pytest.raises(InvalidArgumentError, match="The graph cannot take the shapes image"):
        engine.run("serving_default", {"image": floats(*shape)})
    np.testing.assert_array_equal(engine.run("serving_default", {"image": floats(1, 8, 8, 3)})["scores"], before)


def test_each_refusal_is_told_alone_and_what_the_runtime_said_is_forgotten(load, monkeypatch):
    """LiteRT's message on a failure grows by each that came before it in the same interpreter."""
    made = []

    def make(*args, **options):
        made.append(Interpreter(*args, **options))
        return made[-1]

    engine = load("tiny_image")
    monkeypatch.setattr(litert, "Interpreter", make)
    monkeypatch.setattr(litert, "_LONGEST_SAID", 1000)
    told = set()
    for _ in range(50):
        with pytest.raises(InvalidArgumentError) as refused:
            engine.run("serving_default", {"image": floats(192)})
        told.add(str(refused.value))
    (only,) = told
    assert only.count("CONV_2D") == 1
    assert 50 * len(only) / 1500 < len(made) < 50 * len(only) / 500


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "uint8", "complex64", "bool", "object"])
def test_other_dtypes_are_refused(load, dtype):
    with pytest.raises(InvalidArgumentError, match=f"has dtype {dtype}, but the model takes float32"):
        load("half_plus_two").run("serving_default", {"x": np.ones((1, 1)).astype(dtype)})


def test_sizes_beyond_32_bits_are_refused(load):
    with pytest.raises(InvalidArgumentError, match="too large"):
        load("half_plus_two").run("serving_default", {"x": np.empty((0, 2**20, 2**20), np.float32)})


def test_threads_never_see_each_others_answers(load):
    engine = load("half_plus_two", interpreters=2)
    wrong = []

    def ask(seed):
        for step in range(50):
            x = np.full((1 + (seed + step) % 3, 1), seed, np.float32)
            if not np.array_equal(engine.run("serving_default", {"x": x})["y"], x / 2 + 2):
                wrong.append(seed)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_waiting_for_an_interpreter_ends_with_the_deadline(load):
    engine = load("half_plus_two")
    graph, _ = engine._pool.take(None)
    with pytest.raises(DeadlineExceededError):
        engine.run("serving_default", {"x": floats(1, 1)}, timeout_seconds=0.01)
    engine._pool.give_back(graph)
    assert engine.run("serving_default", {"x": floats(1, 1)}, timeout_seconds=1)["y"].tolist() == [[2.5]]


@pytest.fixture
def held(monkeypatch):
    """Runs of graphs begin one after the other, and end when they may."""
    original, begun, may_end = litert._LoadedGraph.run, threading.Semaphore(0), threading.Event()

    def run(graph, signature, inputs):
        begun.release()
        assert may_end.wait(WAIT_SECONDS)
        return original(graph, signature, inputs)

    monkeypatch.setattr(litert._LoadedGraph, "run", run)
    yield begun, may_end
    may_end.set()


def test_shapes_that_are_not_declared_wait_no_longer_than_the_deadline(load, held):
    engine, (begun, may_end) = load("half_plus_two"), held
    undeclared, times = {"x": floats(2)}, []
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(engine.run, "serving_default", undeclared)
        assert begun.acquire(timeout=WAIT_SECONDS)
        late = threads.submit(engine.run, "serving_default", undeclared, 0.01)
        try:
            with pytest.raises(DeadlineExceededError):
                late.result(WAIT_SECONDS / 2)
            second = threads.submit(
                engine.run, "serving_default", undeclared, WAIT_SECONDS, lambda *seconds: times.append(seconds)
            )
            assert not begun.acquire(timeout=1.0)
        finally:
            may_end.set()
        assert first.result(WAIT_SECONDS)["y"].tolist() == second.result(WAIT_SECONDS)["y"].tolist() == [2.5, 2.5]
    # What it waited for does not count as its run.
    [(waited_seconds, ran_seconds)] = times
    assert waited_seconds > 0.9
    assert 0 < ran_seconds < waited_seconds


def test_closed_engine_is_unavailable(load):
    engine = load("half_plus_two")
    engine.close()
    with pytest.raises(UnavailableError):
        engine.run("serving_default", {"x": floats(1, 1)})


@pytest.mark.parametrize("size_bytes", [0, 100, 1000, 3471])
def test_cut_short_file_is_refused(models, tmp_path, size_bytes):
    file = tmp_path / "model.tflite"
    file.write_bytes((models / "tiny_image/model.tflite").read_bytes()[:size_bytes])
    with pytest.raises(LoadError, match="cannot be run by LiteRT"):
        LiteRtEngine(file, workers=1, threads=1)


def test_strings_pass_through(load):
    payload = np.array([b"a", b"\xff\x00b", b""], dtype=object)
    echo = load("echo_bytes").run("serving_default", {"payload": payload})["echo_bytes"]
    assert echo.reshape(-1).tolist() == payload.tolist()


def test_copies_and_careful_graphs_are_of_the_file_that_was_loaded(models, tmp_path):
    """They are prepared when requests ask for them: the file may be deleted then, or be another one."""
    file = tmp_path / "model.tflite"
    shutil.copy(models / "half_plus_two" / "model.tflite", file)
    engine = LiteRtEngine(file, workers=2, threads=1)
    file.unlink()
    undeclared = {"x": np.array([1.0, 4.0], np.float32)}
    try:
        assert engine.run("serving_default", undeclared)["y"].tolist() == [2.5, 4.0]
    finally:
        engine.close()
    shutil.copy(models / "half_plus_two" / "model.tflite", file)
    engine = LiteRtEngine(file, workers=2, threads=1)
    # As a copying tool does it: a new file takes the name.
    shutil.copy(models / "tiny_image" / "model.tflite", tmp_path / "new")
    (tmp_path / "new").rename(file)
    try:
        assert engine.run("serving_default", undeclared)["y"].tolist() == [2.5, 4.0]
        assert engine._load().signatures == engine.signatures
    finally:
        engine.close()
    with pytest.raises(LoadError, match="is closed: its version is being unloaded"):
        engine._load()
