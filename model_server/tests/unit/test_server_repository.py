import shutil
import threading
from pathlib import Path

import pytest

from model_server import served_model
from model_server.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    LoadError,
    NotFoundError,
    StartupError,
    UnknownError,
)
from model_server.model_config import ModelConfig
from model_server.repository import PlainFolders, Repository
from model_server.servable import Servable
from model_server.served_model import ModelSource, Polling, ServedModel
from model_server.versions import LATEST, VersionPolicy, read_versions

ALL = VersionPolicy("all")


class RecordedEngine:
    """Stands for an engine; only knows whether it was closed."""

    def __init__(self):
        self.closed = False

    def close(self):
        """Remember it."""
        self.closed = True


class Resolving(PlainFolders):
    """Resolves with a function."""

    def __init__(self, resolve):
        self.resolve = self.resolve_again = resolve


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
def polling():
    return Polling(wait_seconds=1, load_retries=0, retry_interval_seconds=0.001)


@pytest.fixture
def poll(stop):
    def poll_once(model):
        model.load_aspired(stop)
        model.unload_surplus()

    return poll_once


@pytest.fixture
def make_model(tmp_path, loader):
    def make(retries=0, policy=LATEST):
        model = ServedModel("m", loader, Polling(wait_seconds=1, load_retries=retries, retry_interval_seconds=0.001))
        model.configure(ModelSource(tmp_path / "models/m", policy))
        return model

    return make


@pytest.fixture
def repository(loader, polling):
    return Repository(loader, polling)


@pytest.fixture
def config(tmp_path):
    def make(name="m", labels=None, policy=LATEST):
        return ModelConfig(name, str(tmp_path / "models" / name), policy, labels or {})

    return make


@pytest.fixture
def stop():
    return threading.Event()


def states(model):
    return {status.version: status.state for status in model.statuses()}


def served_version(repository, name="m", version=None, label=""):
    with repository.find(name).acquire(version, label) as servable:
        return servable.version


def test_highest_version_answers(make_model, add_version, poll):
    add_version("half_plus_two", 1)
    add_version("half_plus_two", 12)
    model = make_model()
    poll(model)
    with model.acquire(None) as servable:
        assert servable.version == 12
    assert states(model) == {12: "AVAILABLE"}


def test_old_version_goes_after_its_last_request(make_model, add_version, poll):
    add_version("half_plus_two", 1)
    model = make_model()
    poll(model)
    with model.acquire(None) as old:
        add_version("half_plus_two", 2)
        poll(model)
        assert states(model) == {2: "AVAILABLE", 1: "UNLOADING"}
        assert not old.engine.closed
        with model.acquire(None) as new:
            assert new.version == 2
    assert old.engine.closed
    assert states(model) == {2: "AVAILABLE", 1: "END"}


def test_version_that_comes_back_while_its_elder_still_answers_stays(make_model, add_version, poll, tmp_path):
    add_version("half_plus_two", 1)
    model = make_model()
    poll(model)
    with model.acquire(None) as elder:
        model.configure(None)
        poll(model)
        model.configure(ModelSource(tmp_path / "models/m"))
        poll(model)
        with model.acquire(None) as younger:
            assert younger is not elder
    assert (elder.engine.closed, younger.engine.closed) == (True, False)
    assert states(model) == {1: "AVAILABLE"}


def test_broken_new_version_leaves_the_old_one(make_model, add_version, loader, poll):
    add_version("half_plus_two", 1)
    model = make_model()
    poll(model)
    loader.failures[2] = 99
    folder = add_version("half_plus_two", 2)
    poll(model)
    poll(model)
    assert model.problem == "version 2 is broken."
    assert loader.loads == [1, 2]
    assert [(s.version, s.state, s.error_message) for s in model.statuses()] == [
        (2, "END", "version 2 is broken."),
        (1, "AVAILABLE", ""),
    ]
    loader.failures[2] = 0
    (folder / "saved_model.pb").unlink()
    poll(model)
    assert states(model) == {2: "AVAILABLE", 1: "END"}


def test_half_copied_version_waits_until_it_is_whole(make_model, add_version, loader, poll):
    folder = add_version("half_plus_two", 1)
    content = (folder / "model.tflite").read_bytes()
    (folder / "model.tflite").unlink()
    model = make_model()
    poll(model)
    assert loader.loads == []
    assert model.problem.startswith("No complete version of model m is below ")
    (folder / "model.tflite").write_bytes(content)
    poll(model)
    assert (model.available, model.problem) == (True, "")


def test_policies_choose_the_versions(make_model, add_version, poll):
    for version in (1, 2, 3):
        add_version("half_plus_two", version)
    for policy, expected in (
        (VersionPolicy("latest", count=2), {3: "AVAILABLE", 2: "AVAILABLE"}),
        (ALL, {3: "AVAILABLE", 2: "AVAILABLE", 1: "AVAILABLE"}),
        (VersionPolicy("specific", versions=frozenset({1, 3, 9})), {3: "AVAILABLE", 1: "AVAILABLE"}),
    ):
        model = make_model(policy=policy)
        poll(model)
        assert states(model) == expected


def test_policy_that_wants_only_what_is_not_there_leaves_what_answers(make_model, add_version, poll, tmp_path):
    add_version("half_plus_two", 1)
    model = make_model()
    poll(model)
    model.configure(ModelSource(tmp_path / "models/m", VersionPolicy("specific", versions=frozenset({9}))))
    poll(model)
    assert states(model) == {1: "AVAILABLE"}


def test_load_is_retried_as_often_as_told(make_model, add_version, loader, poll):
    add_version("half_plus_two", 1)
    loader.failures[1] = 2
    model = make_model(retries=2)
    poll(model)
    assert loader.loads == [1, 1, 1]
    assert model.available


def test_failed_first_load_stops_the_start(repository, config, add_version, loader, stop):
    add_version("half_plus_two", 1)
    loader.failures[1] = 99
    with pytest.raises(
        StartupError,
        match=r"^Failed to start server. Error: 1 servable\(s\) did not become available: {m: version 1 is broken.}$",
    ):
        repository.start([config()], stop)


def test_start_needs_only_one_of_all_versions(repository, config, add_version, loader, stop):
    add_version("half_plus_two", 1)
    add_version("half_plus_two", 2)
    loader.failures[2] = 99
    repository.start([config(policy=ALL)], stop)
    assert served_version(repository) == 1


def test_stop_ends_the_wait_for_a_version(repository, config, stop):
    stop.set()
    repository.start([config()], stop)
    assert not repository.ready


def test_deleted_version_folders_unload_and_a_deleted_base_path_does_not(make_model, add_version, poll, tmp_path):
    folder = add_version("half_plus_two", 1)
    model = make_model()
    poll(model)
    (tmp_path / "models/m").rename(tmp_path / "away")
    poll(model)
    assert model.available
    (tmp_path / "away").rename(tmp_path / "models/m")
    folder.rename(tmp_path / "gone")
    poll(model)
    assert not model.available
    assert states(model) == {1: "END"}


def test_version_that_is_not_loaded_is_not_found(repository, make_model):
    model = make_model()
    with pytest.raises(NotFoundError, match=r"Servable not found for request: Latest\(m\)"), model.acquire(None):
        pass
    with pytest.raises(NotFoundError, match=r"Servable not found for request: Specific\(m, 9\)"), model.acquire(9):
        pass
    with pytest.raises(NotFoundError, match=r"Servable not found for request: Specific\(other, 9\)"):
        repository.find("other", 9)


def test_labels_stand_for_versions(repository, config, add_version, stop):
    add_version("half_plus_two", 1)
    add_version("half_plus_two", 2)
    repository.start([config(labels={"stable": 1, "canary": 2}, policy=ALL)], stop)
    assert served_version(repository, label="stable") == 1
    assert served_version(repository, label="canary") == 2
    with pytest.raises(InvalidArgumentError, match="Unrecognized servable version label: other"):
        served_version(repository, label="other")


def test_label_of_a_version_that_does_not_answer_changes_nothing(repository, config, add_version, stop):
    add_version("half_plus_two", 1)
    add_version("half_plus_two", 2)
    repository.start([config(labels={"stable": 1}, policy=ALL)], stop)
    with pytest.raises(
        FailedPreconditionError,
        match=r"^Request to assign label to version 9 of model m, which is not currently available for inference$",
    ):
        repository.reload([config(labels={"stable": 9}, policy=VersionPolicy())])
    assert served_version(repository, label="stable") == 1
    assert states(repository.find("m")) == {2: "AVAILABLE", 1: "AVAILABLE"}


def test_label_may_name_a_version_that_the_same_list_loads(repository, config, add_version, stop):
    add_version("half_plus_two", 1)
    repository.start([config(labels={"stable": 1})], stop)
    add_version("half_plus_two", 2)
    repository.reload([config(labels={"stable": 2})])
    assert served_version(repository, label="stable") == 2
    assert states(repository.find("m")) == {2: "AVAILABLE", 1: "END"}


def test_labels_may_come_before_their_versions_where_that_is_allowed(loader, polling, config, add_version, stop):
    add_version("half_plus_two", 1)
    repository = Repository(loader, polling, labels_before_versions=True)
    repository.start([config(labels={"stable": 1, "next": 2})], stop)
    with pytest.raises(NotFoundError, match=r"Specific\(m, 2\)"):
        served_version(repository, label="next")
    repository.reload([config(labels={"stable": 1, "next": 2})])
    with pytest.raises(FailedPreconditionError, match="version 3 of model m"):
        repository.reload([config(labels={"stable": 3})])


def test_start_with_a_label_of_no_version_is_refused(repository, config, add_version, stop):
    add_version("half_plus_two", 1)
    with pytest.raises(StartupError, match=r"^Failed to start server. Error: Request to assign label to version 9"):
        repository.start([config(labels={"stable": 9})], stop)


def test_reload_adds_and_removes_models(repository, config, add_version, stop):
    for name in ("m", "n"):
        add_version("half_plus_two", 1, name)
    repository.start([config("m")], stop)
    repository.reload([config("n")])
    assert ("m" in repository, "n" in repository) == (False, True)
    assert served_version(repository, "n") == 1
    with pytest.raises(NotFoundError, match=r"Latest\(m\)"):
        served_version(repository, "m")
    assert states(repository.find("m")) == {1: "END"}
    repository.reload([config("m"), config("n")])
    assert served_version(repository, "m") == 1
    assert repository.ready


def test_reload_tells_which_new_model_is_not_there_and_serves_the_others(repository, config, add_version, stop):
    for name in ("m", "n"):
        add_version("half_plus_two", 1, name)
    repository.start([config("m")], stop)
    with pytest.raises(UnknownError, match=r"^1 model\(s\) did not become available: {x: Could not find base path"):
        repository.reload([config("m"), config("n"), config("x")])
    assert served_version(repository, "n") == 1
    add_version("half_plus_two", 3, "x")
    repository.reload([config("m"), config("n"), config("x")])
    assert served_version(repository, "x") == 3


def test_a_model_that_is_added_counts_for_readiness_from_its_first_version_on(
    repository, config, add_version, stop, tmp_path
):
    add_version("half_plus_two", 1)
    repository.start([config()], stop)
    for _ in range(2):
        with pytest.raises(UnknownError, match="x: Could not find base path"):
            repository.reload([config(), config("x")])
        # It is waited for, and the others are served.
        assert repository.ready
        folder = add_version("half_plus_two", 1, "x")
        repository._poll_all()
        assert repository.ready
        folder.rename(tmp_path / "gone")
        repository._poll_all()
        assert not repository.ready
        # Taken away, and added once more, it is another one.
        repository.reload([config()])
        assert repository.ready
        (tmp_path / "gone").rename(folder)
        shutil.rmtree(folder.parent)


def test_a_model_that_is_being_loaded_for_a_list_does_not_make_the_server_unready(
    loader, polling, config, add_version, stop
):
    seen = []

    def load(name, version, folder):
        seen.append(repository.ready)
        return loader(name, version, folder)

    repository = Repository(load, polling)
    add_version("half_plus_two", 1)
    add_version("half_plus_two", 1, "n")
    repository.start([config()], stop)
    repository.reload([config(), config("n")])
    # At the start there was nothing else to serve.
    assert seen == [False, True]


def test_path_that_cannot_be_served_changes_nothing(loader, polling, config, add_version, stop):
    add_version("half_plus_two", 1)

    def resolve(text):
        if text.endswith("/x"):
            raise LoadError("x is no artifact.")
        return Path(text)

    repository = Repository(loader, polling, Resolving(resolve))
    repository.start([config()], stop)
    with pytest.raises(InvalidArgumentError, match="x is no artifact"):
        repository.reload([config("x")])
    assert served_version(repository) == 1


def test_refused_list_leaves_nothing_of_it_behind(loader, polling, config, add_version, stop):
    closed = []

    def load(name, version, folder):
        servable = loader(name, version, folder)
        servable.engine.close = lambda: closed.append((name, version))
        return servable

    repository = Repository(load, polling)
    add_version("half_plus_two", 1)
    add_version("half_plus_two", 1, "gone")
    repository.start([config(labels={"stable": 1}), config("gone")], stop)
    repository.reload([config(labels={"stable": 1})])
    closed.clear()
    add_version("half_plus_two", 2)
    add_version("half_plus_two", 7, "n")
    with pytest.raises(FailedPreconditionError, match="version 9 of model m"):
        repository.reload([config(labels={"stable": 9}), config("n"), config("gone")])
    # What was loaded for the list is let go, and neither asked nor named.
    assert sorted(closed) == [("gone", 1), ("m", 2), ("n", 7)]
    assert states(repository.find("m")) == {1: "AVAILABLE"}
    assert (served_version(repository), served_version(repository, label="stable")) == (1, 1)
    with pytest.raises(NotFoundError, match=r"Latest\(n\)"):
        repository.find("n")
    assert ("n" in repository, "gone" in repository, repository.ready) == (False, False, True)
    assert states(repository.find("gone")) == {1: "END"}
    repository.reload([config(labels={"stable": 2}), config("n")])
    assert (served_version(repository, label="stable"), served_version(repository, "n")) == (2, 7)


def test_nothing_of_a_list_that_may_be_refused_answers_before_it_is_accepted(
    loader, polling, config, add_version, stop
):
    seen = []

    def load(name, version, folder):
        seen.append(served_version(repository) if "m" in repository and repository.find("m").available else None)
        return loader(name, version, folder)

    repository = Repository(load, polling)
    add_version("half_plus_two", 1)
    repository.start([config()], stop)
    add_version("half_plus_two", 2)
    add_version("half_plus_two", 3)
    repository.reload([config(labels={"stable": 3}, policy=ALL)])
    assert seen == [None, 1, 1]
    assert served_version(repository) == 3


def test_several_models_are_loaded_at_once(loader, polling, config, add_version, stop):
    for name in ("m", "n", "o"):
        add_version("half_plus_two", 1, name)
    repository = Repository(loader, polling, load_threads=3)
    repository.start([config(name) for name in ("m", "n", "o")], stop)
    assert [served_version(repository, name) for name in ("m", "n", "o")] == [1, 1, 1]


@pytest.mark.parametrize("load_threads", [1, 3])
def test_what_nobody_foresaw_in_one_model_keeps_no_other_waiting(
    loader, polling, config, add_version, stop, caplog, load_threads
):
    loads = []

    def load(name, version, folder):
        loads.append((name, version))
        if (name, version) == ("m", 2):
            raise ZeroDivisionError("in the midst of it")
        return loader(name, version, folder)

    repository = Repository(load, polling, load_threads=load_threads)
    for version in (1, 2):
        for name in ("m", "n"):
            add_version("half_plus_two", version, name)
        if version == 1:
            repository.start([config("m"), config("n")], stop)
    for _ in range(2):
        repository._poll_all()
    assert (served_version(repository, "m"), served_version(repository, "n")) == (1, 2)
    assert states(repository.find("m")) == {2: "END", 1: "AVAILABLE"}
    # Told once, and not loaded again before its files change.
    assert (caplog.text.count("Error: in the midst of it"), loads.count(("m", 2))) == (1, 1)
    with pytest.raises(StartupError, match=r"become available: {m: Version 2 of m: the server failed at it"):
        Repository(load, polling, load_threads=load_threads).start([config("m"), config("n")], stop)


def test_a_folder_that_cannot_be_looked_at_keeps_no_other_waiting(repository, config, add_version, stop, monkeypatch):
    for name in ("m", "n"):
        add_version("half_plus_two", 1, name)
    repository.start([config("m"), config("n")], stop)

    def read(base_path):
        if base_path.name == "m":
            raise ZeroDivisionError
        return read_versions(base_path)

    monkeypatch.setattr(served_model, "read_versions", read)
    add_version("half_plus_two", 2, "n")
    repository._poll_all()
    assert (served_version(repository, "m"), served_version(repository, "n")) == (1, 2)
    assert repository.find("m").problem == "The server failed at model m, and its log says where."
