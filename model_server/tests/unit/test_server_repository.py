import threading

import pytest

from model_server.errors import LoadError, NotFoundError, StartupError
from model_server.repository import Polling, Repository, ServedModel
from model_server.servable import Servable


class RecordedEngine:
    """Stands for an engine; only knows whether it was closed."""

    def __init__(self):
        self.closed = False

    def close(self):
        """Remember it."""
        self.closed = True


class Loader:
    """Loads every version but those that are told to fail so many times."""

    def __init__(self):
        self.failures = {}
        self.loads = []

    def __call__(self, name, version, _folder):
        """Load the version, or fail as told."""
        self.loads.append(version)
        if self.failures.get(version, 0) > 0:
            self.failures[version] -= 1
            raise LoadError(f"version {version} is broken.")
        return Servable(name, version, {}, RecordedEngine())


@pytest.fixture
def loader():
    return Loader()


@pytest.fixture
def make_model(tmp_path, loader):
    def make(retries=0):
        polling = Polling(wait_seconds=1, load_retries=retries, retry_interval_seconds=0.001)
        return ServedModel("m", tmp_path / "models/m", loader, polling)

    return make


@pytest.fixture
def stop():
    return threading.Event()


def states(model):
    return {status.version: status.state for status in model.statuses()}


def test_highest_version_answers(make_model, add_version, stop):
    add_version("half_plus_two", 1)
    add_version("half_plus_two", 12)
    model = make_model()
    model.load_first_version(stop)
    with model.acquire(None) as servable:
        assert servable.version == 12
    assert states(model) == {12: "AVAILABLE"}


def test_old_version_goes_after_its_last_request(make_model, add_version, stop):
    add_version("half_plus_two", 1)
    model = make_model()
    model.load_first_version(stop)
    with model.acquire(None) as old:
        add_version("half_plus_two", 2)
        model.poll(stop)
        assert states(model) == {2: "AVAILABLE", 1: "UNLOADING"}
        assert not old.engine.closed
        with model.acquire(None) as new:
            assert new.version == 2
    assert old.engine.closed
    assert states(model) == {2: "AVAILABLE", 1: "END"}


def test_broken_new_version_leaves_the_old_one(make_model, add_version, loader, stop):
    add_version("half_plus_two", 1)
    model = make_model()
    model.load_first_version(stop)
    loader.failures[2] = 99
    folder = add_version("half_plus_two", 2)
    with pytest.raises(LoadError):
        model.poll(stop)
    model.poll(stop)
    assert loader.loads == [1, 2]
    assert [(s.version, s.state, s.error_message) for s in model.statuses()] == [
        (2, "END", "version 2 is broken."),
        (1, "AVAILABLE", ""),
    ]
    loader.failures[2] = 0
    (folder / "saved_model.pb").unlink()
    model.poll(stop)
    assert states(model) == {2: "AVAILABLE", 1: "END"}


def test_half_copied_version_waits_until_it_is_whole(make_model, add_version, loader, stop):
    folder = add_version("half_plus_two", 1)
    content = (folder / "model.tflite").read_bytes()
    (folder / "model.tflite").unlink()
    model = make_model()
    assert model.poll(stop) is None
    assert loader.loads == []
    (folder / "model.tflite").write_bytes(content)
    assert model.poll(stop) == 1
    assert model.available


def test_load_is_retried_as_often_as_told(make_model, add_version, loader, stop):
    add_version("half_plus_two", 1)
    loader.failures[1] = 2
    model = make_model(retries=2)
    model.load_first_version(stop)
    assert loader.loads == [1, 1, 1]
    assert model.available


def test_failed_first_load_stops_the_start(make_model, add_version, loader, stop):
    add_version("half_plus_two", 1)
    loader.failures[1] = 99
    with pytest.raises(StartupError, match=r"Failed to start server. Error: 1 servable\(s\) did not become available"):
        make_model(retries=1).load_first_version(stop)
    assert loader.loads == [1, 1]


def test_stop_ends_the_wait_for_a_version(make_model, stop):
    stop.set()
    model = make_model()
    model.load_first_version(stop)
    assert not model.available


def test_deleted_version_folders_unload_and_a_deleted_base_path_does_not(make_model, add_version, stop, tmp_path):
    folder = add_version("half_plus_two", 1)
    model = make_model()
    model.load_first_version(stop)
    (tmp_path / "models/m").rename(tmp_path / "away")
    model.poll(stop)
    assert model.available
    (tmp_path / "away").rename(tmp_path / "models/m")
    folder.rename(tmp_path / "gone")
    model.poll(stop)
    assert not model.available
    assert states(model) == {1: "END"}


def test_version_that_is_not_loaded_is_not_found(make_model):
    model = make_model()
    with pytest.raises(NotFoundError, match=r"Servable not found for request: Latest\(m\)"), model.acquire(None):
        pass
    with pytest.raises(NotFoundError, match=r"Servable not found for request: Specific\(m, 9\)"), model.acquire(9):
        pass
    with pytest.raises(NotFoundError, match=r"Servable not found for request: Specific\(other, 9\)"):
        Repository([model]).find("other", 9)
