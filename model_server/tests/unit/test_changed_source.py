"""What is served is what the base path names now, also where the version's number stays the same."""

import threading

import pytest

from model_artifact.packing import pack
from model_server.artifact_folder import UnpackedArtifacts
from model_server.errors import FailedPreconditionError, InvalidArgumentError, LoadError, UnknownError
from model_server.model_config import ModelConfig
from model_server.repository import Repository
from model_server.servable import Servable
from model_server.served_model import ModelSource, Polling, ServedModel


class Engine:
    """Knows the size of the model that it was loaded from, and whether it was closed."""

    def __init__(self, size):
        self.size = size
        self.closed = False

    def close(self):
        """Remember it."""
        self.closed = True


def load(name, version, folder):
    size = (folder / "model.tflite").stat().st_size
    if size == len(b"broken"):
        raise LoadError("it is broken.")
    return Servable(name, version, {}, Engine(size))


@pytest.fixture
def stop():
    return threading.Event()


@pytest.fixture
def repository():
    with UnpackedArtifacts() as artifacts:
        yield Repository(load, Polling(1, 0, 0.001), artifacts)


@pytest.fixture
def make_artifact(models, tmp_path):
    """Pack a committed model; the file appears whole, also where one was. The answer is its model's size."""

    def make(model, name):
        incoming = tmp_path / f"incoming-{name}"
        pack(models / model, incoming)
        incoming.rename(tmp_path / name)
        return (models / model / "model.tflite").stat().st_size

    return make


def poll(repository):
    repository._poll_all()  # What its thread does, without waiting for it


def served_size(repository):
    with repository.find("m").acquire(None) as servable:
        return servable.engine.size


def unpacked_folders(repository):
    return sorted(repository.find("m").source.base_path.parent.iterdir())


def write_version(base_path, number, content):
    folder = base_path / str(number)
    folder.mkdir(parents=True)
    (folder / "model.tflite").write_bytes(content)
    return folder


def test_another_artifact_is_loaded_though_its_version_is_1_as_well(repository, make_artifact, tmp_path, stop):
    half, image = make_artifact("half_plus_two", "a.zip"), make_artifact("tiny_image", "b.zip")
    repository.start([ModelConfig("m", str(tmp_path / "a.zip"))], stop)
    assert served_size(repository) == half
    with repository.find("m").acquire(None) as elder:
        repository.reload([ModelConfig("m", str(tmp_path / "b.zip"))])
        assert served_size(repository) == image
        # The request that was under way has its model to the end.
        assert not elder.engine.closed
    assert elder.engine.closed
    assert [(s.version, s.state) for s in repository.find("m").statuses()] == [(1, "AVAILABLE")]
    assert unpacked_folders(repository) == [repository.find("m").source.base_path]


def test_artifact_that_is_replaced_is_seen_by_the_next_poll(repository, make_artifact, tmp_path, stop):
    half = make_artifact("half_plus_two", "a.zip")
    repository.start([ModelConfig("m", str(tmp_path / "a.zip"))], stop)
    first = repository.find("m").source.base_path
    poll(repository)
    assert (served_size(repository), repository.find("m").source.base_path) == (half, first)
    image = make_artifact("tiny_image", "a.zip")
    poll(repository)
    assert served_size(repository) == image
    assert not first.exists()
    assert unpacked_folders(repository) == [repository.find("m").source.base_path]


def test_artifact_that_is_away_or_damaged_leaves_what_answers(repository, make_artifact, tmp_path, stop, caplog):
    half = make_artifact("half_plus_two", "a.zip")
    repository.start([ModelConfig("m", str(tmp_path / "a.zip"))], stop)
    (tmp_path / "a.zip").unlink()
    poll(repository)
    assert served_size(repository) == half
    (tmp_path / "a.zip").write_bytes(b"half of it")
    poll(repository)
    poll(repository)
    assert caplog.text.count("m is served as before: The artifact") == 1
    assert served_size(repository) == half
    with pytest.raises(InvalidArgumentError, match="cannot be unpacked"):
        repository.reload([ModelConfig("m", str(tmp_path / "a.zip"))])
    assert served_size(repository) == half
    image = make_artifact("tiny_image", "a.zip")
    poll(repository)
    assert served_size(repository) == image


def test_damaged_artifact_is_not_read_at_every_poll(tmp_path):
    file = tmp_path / "a.zip"
    file.write_bytes(b"no archive")
    with UnpackedArtifacts() as artifacts:
        with pytest.raises(LoadError) as first:
            artifacts.resolve_again(str(file))
        with pytest.raises(LoadError) as second:
            artifacts.resolve_again(str(file))
        # It was read once, and is remembered by what can be told without reading it.
        assert (first.value.__cause__ is None, second.value.__cause__ is None) == (False, True)
        assert str(second.value) == str(first.value)
        file.write_bytes(b"another one, no archive either")
        with pytest.raises(LoadError) as third:
            artifacts.resolve_again(str(file))
        assert third.value.__cause__ is not None


def test_refused_list_keeps_the_folder_of_what_answers(repository, make_artifact, tmp_path, stop):
    half = make_artifact("half_plus_two", "a.zip")
    make_artifact("tiny_image", "b.zip")
    repository.start([ModelConfig("m", str(tmp_path / "a.zip"))], stop)
    before = repository.find("m").source
    with pytest.raises(FailedPreconditionError):
        repository.reload([ModelConfig("m", str(tmp_path / "b.zip"), labels={"stable": 9})])
    assert served_size(repository) == half
    assert repository.find("m").source == before
    assert unpacked_folders(repository) == [before.base_path]
    assert (before.base_path / "1/model.tflite").stat().st_size == half


def test_folder_that_the_list_names_is_served_under_the_same_number(repository, tmp_path, stop):
    write_version(tmp_path / "a", 3, b"one")
    write_version(tmp_path / "b", 3, b"another")
    repository.start([ModelConfig("m", str(tmp_path / "a"))], stop)
    repository.reload([ModelConfig("m", str(tmp_path / "b"))])
    assert served_size(repository) == len(b"another")


def test_list_whose_folder_cannot_be_served_says_so_and_leaves_what_answers(repository, tmp_path, stop):
    write_version(tmp_path / "a", 3, b"one")
    write_version(tmp_path / "b", 3, b"broken")
    repository.start([ModelConfig("m", str(tmp_path / "a"))], stop)
    with pytest.raises(UnknownError, match=r"^1 model\(s\) did not become available: {m: it is broken.}$"):
        repository.reload([ModelConfig("m", str(tmp_path / "b"))])
    assert served_size(repository) == len(b"one")
    assert [(s.version, s.state) for s in repository.find("m").statuses()] == [(3, "AVAILABLE")]
    poll(repository)
    assert served_size(repository) == len(b"one")
    (tmp_path / "b/3/model.tflite").write_bytes(b"mended by now")
    poll(repository)
    assert served_size(repository) == len(b"mended by now")


@pytest.fixture
def make_model(tmp_path, stop):
    """A model whose version 1 was loaded when it was half copied, and its folder."""

    def make(settle_seconds):
        folder = write_version(tmp_path / "m", 1, b"one")
        loads = []

        def load_counted(name, version, folder):
            loads.append(sorted(path.name for path in folder.iterdir()))
            return load(name, version, folder)

        model = ServedModel("m", load_counted, Polling(0, 0, 0.001, settle_seconds))
        model.configure(ModelSource(tmp_path / "m"))
        model.load_aspired(stop)
        return model, folder, loads

    return make


def test_files_that_arrive_soon_after_the_model_are_loaded_with_it(make_model, stop):
    model, folder, loads = make_model(settle_seconds=60)
    with model.acquire(1) as elder:
        for name in ("saved_model.pb", "batching_params.pbtxt"):
            (folder / name).write_bytes(b"late")
            model.load_aspired(stop)
            assert [status.state for status in model.statuses()] == ["AVAILABLE"]
        model.load_aspired(stop)
    assert loads == [
        ["model.tflite"],
        ["model.tflite", "saved_model.pb"],
        ["batching_params.pbtxt", "model.tflite", "saved_model.pb"],
    ]
    assert elder.engine.closed


def test_files_that_arrive_later_are_named_and_wait_for_a_version_of_their_own(make_model, stop, caplog):
    model, folder, loads = make_model(settle_seconds=-1)
    for content in (b"too late", b"and once more"):
        (folder / "saved_model.pb").write_bytes(content)
        model.load_aspired(stop)
        model.load_aspired(stop)
    assert loads == [["model.tflite"]]
    told = "m version 1 answers as it was loaded, though saved_model.pb changed since: give what is new a new version"
    assert caplog.text.count(told) == 2


def test_version_that_is_being_deleted_is_not_loaded_again(make_model, stop):
    model, folder, loads = make_model(settle_seconds=60)
    (folder / "saved_model.pb").write_bytes(b"late")
    model.load_aspired(stop)
    (folder / "saved_model.pb").unlink()
    model.load_aspired(stop)
    (folder / "model.tflite").unlink()
    model.load_aspired(stop)
    assert len(loads) == 2
    assert model.available


def test_half_of_the_golden_answers_are_waited_for(make_model, stop):
    model, folder, loads = make_model(settle_seconds=60)
    golden = folder / "assets.extra/golden"
    golden.mkdir(parents=True)
    for name in ("golden.json", "inputs.npy", "outputs.npy"):
        assert len(loads) == 1
        (golden / name).write_bytes(b"late")
        model.load_aspired(stop)
    assert len(loads) == 2


def test_late_file_that_breaks_the_version_leaves_what_answers(make_model, stop):
    model, folder, loads = make_model(settle_seconds=60)
    (folder / "model.tflite").write_bytes(b"broken")
    model.load_aspired(stop)
    model.load_aspired(stop)
    assert (len(loads), model.problem, model.available) == (2, "it is broken.", True)
    assert [(s.state, s.error_message) for s in model.statuses()] == [("AVAILABLE", "")]
