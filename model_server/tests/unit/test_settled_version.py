"""A version whose files change while it is loaded is loaded again from what they are then."""

import threading

import pytest

from model_server.errors import LoadError
from model_server.servable import Servable
from model_server.served_model import ModelSource, Polling, ServedModel
from model_server.versions import LATEST


class Engine:
    """Knows what was there when it was loaded, and whether it was closed."""

    def __init__(self, content):
        self.content = content
        self.closed = False

    def close(self):
        """Remember it."""
        self.closed = True


@pytest.fixture
def version(tmp_path):
    folder = tmp_path / "m" / "1"
    folder.mkdir(parents=True)
    (folder / "model.tflite").write_bytes(b"half")
    return folder


def load_with(version, step):
    """A model whose loading takes steps of copying with it; all engines that were loaded."""
    loaded = []

    def load(name, number, folder):
        content = sorted((path.name, path.read_bytes()) for path in folder.iterdir())
        step(len(loaded))
        loaded.append(Engine(content))
        if dict(content)["model.tflite"] == b"broken":
            raise LoadError("it is broken.")
        return Servable(name, number, {}, loaded[-1])

    model = ServedModel("m", load, Polling(wait_seconds=1, load_retries=0, retry_interval_seconds=0.001))
    model.configure(ModelSource(version.parent, LATEST))
    model.load_aspired(threading.Event())
    return model, loaded


def test_what_is_served_is_what_the_folder_held_before_and_after_loading(version):
    steps = [(version / "model.tflite", b"whole model"), (version / "saved_model.pb", b"signatures")]

    def copy_on(number):
        if number < len(steps):
            steps[number][0].write_bytes(steps[number][1])

    model, loaded = load_with(version, copy_on)
    assert [engine.closed for engine in loaded] == [True, True, False]
    assert dict(loaded[-1].content) == {"model.tflite": b"whole model", "saved_model.pb": b"signatures"}
    with model.acquire(1) as servable:
        assert servable.engine is loaded[-1]


def test_a_version_that_fails_while_it_is_copied_has_not_failed(version):
    (version / "model.tflite").write_bytes(b"broken")

    def mend(number):
        if number == 0:
            (version / "model.tflite").write_bytes(b"whole model")

    model, loaded = load_with(version, mend)
    assert len(loaded) == 2
    assert model.available
    assert model.problem == ""


def test_a_version_that_fails_and_stays_as_it_is_has_failed(version):
    (version / "model.tflite").write_bytes(b"broken")
    model, loaded = load_with(version, lambda _: None)
    assert (len(loaded), model.available, model.problem) == (1, False, "it is broken.")
