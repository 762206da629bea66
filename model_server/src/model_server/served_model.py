"""One model: its versions, which of them answer, and what happens to them; loading comes before unloading."""

import logging
import threading
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path

from model_server.errors import InvalidArgumentError, LoadError, NotFoundError, StartupError
from model_server.memory import release_free_memory
from model_server.origin import Origin
from model_server.servable import Servable
from model_server.versions import (
    LATEST,
    Fingerprint,
    VersionFolder,
    VersionPolicy,
    plan_changes,
    read_again,
    read_versions,
)

_LOGGER = logging.getLogger(__name__)
_WAIT_WHILE_COPIED_SECONDS = 0.2

Load = Callable[[str, int, Path], Servable]


@dataclass(frozen=True)
class VersionStatus:
    """A version's state (START, LOADING, AVAILABLE, UNLOADING, END) and, at its end, what went wrong."""

    version: int
    state: str
    error_message: str = ""


@dataclass(frozen=True)
class Polling:
    """How often folders are looked at (0 or less: only when told), and how often a failed load is repeated.

    A loaded version's files may still be arriving for `settle_seconds` after it, or after the last of them came.
    """

    wait_seconds: float
    load_retries: int
    retry_interval_seconds: float
    settle_seconds: float = 60.0

    @property
    def change_seconds(self) -> float:
        """How long after the last change another one may be seen that came in time."""
        return self.settle_seconds + max(self.wait_seconds, 0.0)


@dataclass(frozen=True)
class ModelSource:
    """Where a model's version folders are, and which of them are served."""

    base_path: Path
    policy: VersionPolicy = LATEST


class Lease:
    """A servable for the time of a `with` block, which must follow."""

    __slots__ = ("_release", "_servable")

    def __init__(self, servable: Servable, release: Callable[[Servable], None]) -> None:
        self._servable = servable
        self._release = release

    def __enter__(self) -> Servable:
        """The servable."""
        return self._servable

    def __exit__(self, *_: object) -> None:
        """It may be unloaded from now on."""
        self._release(self._servable)


class ServedModel:
    """The versions of one model. A new version is loaded before the old one goes, which waits for its requests.

    Requests come from any thread; `configure`, `load_aspired` and what follows it from one at a time.
    """

    def __init__(self, name: str, load: Load, polling: Polling) -> None:
        self.name = name
        self.source: ModelSource | None = None
        self.labels: Mapping[str, int] = {}
        self.problem = ""
        self.load_failed = False
        # Whether some version has, since there is a source.
        self.has_answered = False
        self._load_servable = load
        self._polling = polling
        self._lock = threading.Lock()
        self._loaded: dict[int, Servable] = {}
        self._origins: dict[int, Origin] = {}
        # Loaded, and asked by nobody before `publish`.
        self._staged: dict[int, tuple[Servable, VersionFolder]] = {}
        # What the last `load_aspired` tried, with what was known of it before.
        self._tried: dict[int, VersionStatus | None] = {}
        # By identity: a version's number may come back while an older servable of that number still answers.
        self._unloading: dict[int, Servable] = {}
        self._requests: dict[int, int] = {}
        self._statuses: dict[int, VersionStatus] = {}
        self._failed: dict[int, tuple[Fingerprint, str]] = {}
        self._surplus: tuple[int, ...] = ()

    @property
    def available(self) -> bool:
        """Whether some version answers."""
        return bool(self._loaded)

    @property
    def current(self) -> bool:
        """Whether some version answers, or will after `publish`, that is from where it should be."""
        base_path = self.source.base_path if self.source else None
        folders = [origin.folder for origin in self._origins.values()] + [folder for _, folder in self._staged.values()]
        return any(base_path in {folder.path, folder.path.parent} for folder in folders)

    @property
    def loaded(self) -> bool:
        """Whether some version answers, or will after `publish`."""
        return bool(self._loaded or self._staged)

    def serves(self, version: int) -> bool:
        """Whether this version answers, or will after `publish`."""
        return version in self._loaded or version in self._staged

    def statuses(self) -> list[VersionStatus]:
        """Every version that was ever seen, the highest first."""
        with self._lock:
            return sorted(self._statuses.values(), key=lambda status: -status.version)

    def acquire(self, version: int | None, label: str = "") -> "Lease":
        """The version, or the label's, or the highest one, for the time of one request: it is not unloaded meanwhile.

        Raises:
            InvalidArgumentError: There is no such label.
            NotFoundError: The version is not loaded.
        """
        with self._lock:
            if label:
                version = self.labels.get(label)
                if version is None:
                    raise InvalidArgumentError(f"Unrecognized servable version label: {label}")
            chosen = max(self._loaded, default=None) if version is None else version
            servable = None if chosen is None else self._loaded.get(chosen)
            if servable is None:
                raise NotFoundError(f"Servable not found for request: {format_request(self.name, version)}")
            self._requests[id(servable)] = self._requests.get(id(servable), 0) + 1
        return Lease(servable, self._release)

    def give_up(self) -> None:
        """The process ends: requests that wait for an engine are refused."""
        with self._lock:
            servables = [*self._loaded.values(), *self._unloading.values()]
        for servable in servables:
            servable.engine.give_up()

    def configure(self, source: ModelSource | None) -> None:
        """From the next `load_aspired` on, serve this; None stands for nothing at all."""
        if source != self.source:
            self._failed.clear()
        if source is None:
            self.has_answered = False
        self.source = source

    def label(self, labels: Mapping[str, int]) -> None:
        """Replace all labels at once, as far as requests can see."""
        with self._lock:
            self.labels = dict(labels)

    def load_aspired(self, stop: threading.Event, *, publish: bool = True) -> None:
        """Load what should be served and is not; the versions besides stay until `unload_surplus`.

        A loaded version is loaded anew where its number now stands for another folder, or where its files were still
        arriving; the old one answers until then. Afterwards `problem` says why something is not served. A version that
        could not be loaded is not tried again until its files change.

        Args:
            stop: ends the waiting between tries.
            publish: whether each version answers as soon as it can; otherwise `publish` or `discard` is to follow.
        """
        self.discard()
        self.problem, self.load_failed = "", False
        if self.source is None:
            self._surplus = tuple(sorted(self._loaded))
            return
        try:
            folders = read_versions(self.source.base_path)
        except LoadError as error:
            # What is loaded keeps answering when the storage is away.
            self._tell_problem(str(error))
            return
        changes = plan_changes(folders, frozenset(self._loaded), self.source.policy)
        for version in sorted({*changes.load, *self._find_outdated(folders, changes.aspired)}, reverse=True):
            self._load(folders[version], stop)
            if publish:
                self.publish()
        if any(map(self.serves, changes.aspired)):
            self._surplus = changes.unload
        elif changes.aspired:
            self.load_failed = not self.available
        else:
            self._surplus = changes.unload
            self._tell_problem(f"No complete version of model {self.name} is below {self.source.base_path}.")

    def _find_outdated(self, folders: Mapping[int, VersionFolder], aspired: AbstractSet[int]) -> list[int]:
        """The loaded versions that are not what their folders hold."""
        outdated = []
        for version in aspired & self._origins.keys():
            origin, now = self._origins[version], folders[version]
            late = origin.notice(now)
            if late:
                _LOGGER.warning(
                    "%s version %d answers as it was loaded, though %s changed since: give what is new a new version",
                    *(self.name, version, ", ".join(late)),
                )
            if origin.outdated_by(now):
                outdated.append(version)
        return outdated

    def fail(self, problem: str) -> None:
        """What nobody foresaw has ended the last `load_aspired`; what answers stays."""
        self.problem, self.load_failed = problem, not self.available

    def _tell_problem(self, problem: str) -> None:
        self.problem = problem
        (_LOGGER.warning if self.available else _LOGGER.error)("%s", problem)

    def publish(self) -> None:
        """What was loaded answers from now on; what had its number before goes after its last request."""
        for version, (servable, folder) in self._staged.items():
            with self._lock:
                elder = self._loaded.get(version)
                self._loaded[version] = servable
                self._origins[version] = Origin(folder, self._polling.change_seconds)
                self._statuses[version] = VersionStatus(version, "AVAILABLE")
                self.has_answered = True
                idle = elder is not None and self._retire(elder)
            _LOGGER.info("%s version %d is AVAILABLE", self.name, version)
            if elder is not None and idle:
                self._close(elder)
        self._staged.clear()
        self._tried.clear()

    def discard(self) -> None:
        """As if the last `load_aspired` had not been, where it was without publishing and nothing followed it."""
        for servable, _ in self._staged.values():
            servable.engine.close()
        self._staged.clear()
        self._surplus = ()
        with self._lock:
            for version, status in self._tried.items():
                if status is None:
                    del self._statuses[version]
                    continue
                gone = status.state == "UNLOADING" and all(s.version != version for s in self._unloading.values())
                self._statuses[version] = replace(status, state="END") if gone else status
        self._tried.clear()

    def unload_surplus(self) -> None:
        """Let go of the versions that the last `load_aspired` found to be replaced."""
        for version in self._surplus:
            self._unload(version)
        self._surplus = ()

    def _load(self, folder: VersionFolder, stop: threading.Event) -> None:
        version = folder.version
        fingerprint, known_problem = self._failed.get(version, (None, ""))
        if fingerprint == folder.fingerprint:
            self.problem = known_problem
            return
        self._tried[version] = self._statuses.get(version)
        self._set_status_of_missing(VersionStatus(version, "LOADING"))
        try:
            servable, folder = self._load_settled(folder, stop)
        except LoadError as error:
            self._note_failure(folder, str(error))
        except StartupError:
            raise  # what the whole server lacks
        except Exception:
            _LOGGER.exception("loading %s version %d failed", self.name, version)
            self._note_failure(
                folder, f"Version {version} of {self.name}: the server failed at it, and its log says where."
            )
        else:
            self._staged[version] = servable, folder

    def _note_failure(self, folder: VersionFolder, problem: str) -> None:
        version = folder.version
        self.problem = problem
        self._failed[version] = folder.fingerprint, problem
        self._set_status_of_missing(VersionStatus(version, "END", problem))
        and_so = "answers as it was loaded before" if version in self._loaded else "is not served"
        _LOGGER.warning("%s version %d %s: %s", self.name, version, and_so, problem)

    def _load_settled(self, folder: VersionFolder, stop: threading.Event) -> tuple[Servable, VersionFolder]:
        """Load until the files are the same afterwards as before: those that are still copied are not what is meant.

        Raises:
            LoadError: The version cannot be loaded, and its files have not changed meanwhile.
        """
        while True:
            servable = None
            try:
                servable = self._load_with_retries(folder, stop)
            except LoadError:
                if read_again(folder) == folder or stop.is_set():
                    raise
            now = read_again(folder)
            if servable is not None:
                if now == folder:
                    return servable, folder
                servable.engine.close()
            _LOGGER.info("%s version %d changed while it was loaded: it is loaded again", self.name, folder.version)
            if stop.wait(_WAIT_WHILE_COPIED_SECONDS):
                raise LoadError(f"Version {folder.version} of {self.name} was still being copied at the end.")
            folder = read_again(folder)

    def _load_with_retries(self, folder: VersionFolder, stop: threading.Event) -> Servable:
        retries_left = max(self._polling.load_retries, 0)
        while True:
            try:
                return self._load_servable(self.name, folder.version, folder.path)
            except LoadError as error:
                if retries_left == 0:
                    raise
                _LOGGER.warning(
                    "loading %s version %d failed, %d retries left: %s", self.name, folder.version, retries_left, error
                )
                if stop.wait(self._polling.retry_interval_seconds):
                    raise
                retries_left -= 1

    def _unload(self, version: int) -> None:
        with self._lock:
            servable = self._loaded.pop(version)
            del self._origins[version]
            self._statuses[version] = replace(self._statuses[version], state="UNLOADING")
            idle = self._retire(servable)
        if idle:
            self._close(servable)

    def _retire(self, servable: Servable) -> bool:
        """Under the lock: nobody gets it any more; whether nobody has it either."""
        self._unloading[id(servable)] = servable
        return id(servable) not in self._requests

    def _release(self, servable: Servable) -> None:
        with self._lock:
            self._requests[id(servable)] -= 1
            last = self._requests[id(servable)] == 0
            if last:
                del self._requests[id(servable)]
            last = last and id(servable) in self._unloading
        if last:
            self._close(servable)

    def _close(self, servable: Servable) -> None:
        with self._lock:
            if self._unloading.pop(id(servable), None) is None:
                return
            if servable.version not in self._loaded:
                self._statuses[servable.version] = VersionStatus(servable.version, "END")
        servable.engine.close()
        release_free_memory()
        _LOGGER.info("%s version %d is unloaded", self.name, servable.version)

    def _set_status_of_missing(self, status: VersionStatus) -> None:
        """A version that answers is AVAILABLE, whatever becomes of another one of its number."""
        with self._lock:
            if status.version not in self._loaded:
                self._statuses[status.version] = status


def format_request(name: str, version: int | None) -> str:
    """What a request looked for, as TensorFlow Serving writes it."""
    return f"Latest({name})" if version is None else f"Specific({name}, {version})"
