"""Loads, switches and unloads the versions of the models; the only place that knows which version answers."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from model_server.errors import LoadError, NotFoundError, StartupError
from model_server.servable import Servable
from model_server.versions import Fingerprint, VersionFolder, plan_changes, read_versions

_LOGGER = logging.getLogger(__name__)
_WAIT_FOR_FIRST_VERSION_SECONDS = 1.0

Load = Callable[[str, int, Path], Servable]


@dataclass(frozen=True)
class VersionStatus:
    """A version's state (START, LOADING, AVAILABLE, UNLOADING, END) and, at its end, what went wrong."""

    version: int
    state: str
    error_message: str = ""


@dataclass(frozen=True)
class Polling:
    """How often folders are looked at (0 or less: only at the start), and how often a failed load is repeated."""

    wait_seconds: float
    load_retries: int
    retry_interval_seconds: float


class ServedModel:
    """The versions of one model. A new version is loaded before the old one goes, which waits for its requests."""

    def __init__(self, name: str, base_path: Path, load: Load, polling: Polling) -> None:
        self.name = name
        self._base_path = base_path
        self._load_servable = load
        self._polling = polling
        self._lock = threading.Lock()
        self._loaded: dict[int, Servable] = {}
        self._unloading: dict[int, Servable] = {}
        self._requests: dict[int, int] = {}
        self._statuses: dict[int, VersionStatus] = {}
        self._failed: dict[int, Fingerprint] = {}

    @property
    def available(self) -> bool:
        """Whether some version answers."""
        return bool(self._loaded)

    def statuses(self) -> list[VersionStatus]:
        """Every version that was ever seen, the highest first."""
        with self._lock:
            return sorted(self._statuses.values(), key=lambda status: -status.version)

    @contextmanager
    def acquire(self, version: int | None) -> Iterator[Servable]:
        """The version (or the highest one) for the time of one request: it is not unloaded meanwhile.

        Raises:
            NotFoundError: The version is not loaded.
        """
        with self._lock:
            chosen = max(self._loaded, default=None) if version is None else version
            servable = None if chosen is None else self._loaded.get(chosen)
            if servable is None:
                wanted = f"Latest({self.name})" if version is None else f"Specific({self.name}, {version})"
                raise NotFoundError(f"Servable not found for request: {wanted}")
            self._requests[servable.version] = self._requests.get(servable.version, 0) + 1
        try:
            yield servable
        finally:
            self._release(servable.version)

    def load_first_version(self, stop: threading.Event) -> None:
        """Wait for a version folder and load it; returns when one is available or `stop` is set.

        Raises:
            StartupError: The version there is cannot be loaded.
        """
        while not stop.is_set():
            try:
                aspired = self.poll(stop)
            except LoadError as error:
                raise StartupError(
                    f"Failed to start server. Error: 1 servable(s) did not become available: {{{self.name}: {error}}}"
                ) from error
            if self.available:
                return
            if aspired is None:
                _LOGGER.error("no complete version of model %s below %s yet: waiting", self.name, self._base_path)
            stop.wait(_WAIT_FOR_FIRST_VERSION_SECONDS)

    def poll_until(self, stop: threading.Event) -> None:
        """Look for new versions at the set interval until `stop` is set."""
        while self._polling.wait_seconds > 0 and not stop.wait(self._polling.wait_seconds):
            try:
                self.poll(stop)
            except LoadError as error:
                _LOGGER.warning("%s: a version is not served: %s", self.name, error)
            except Exception:
                # This thread must outlive whatever a broken folder provokes: without it no version ever comes again.
                _LOGGER.exception("%s: looking for versions failed", self.name)

    def poll(self, stop: threading.Event) -> int | None:
        """Do what the folders ask for once; the answer is the version that should be served.

        Raises:
            LoadError: That version cannot be loaded. It is not tried again until its files change.
        """
        try:
            folders = read_versions(self._base_path)
        except LoadError as error:
            # What is loaded keeps answering when the storage is away.
            (_LOGGER.warning if self.available else _LOGGER.error)("%s", error)
            return None
        changes = plan_changes(folders, frozenset(self._loaded))
        if changes.load and changes.aspired is not None:
            folder = folders[changes.aspired]
            if self._failed.get(folder.version) == folder.fingerprint:
                return changes.aspired
            self._load(folder, stop)
        for version in changes.unload:
            self._unload(version)
        return changes.aspired

    def _load(self, folder: VersionFolder, stop: threading.Event) -> None:
        version = folder.version
        self._set_status(VersionStatus(version, "LOADING"))
        try:
            servable = self._load_with_retries(folder, stop)
        except LoadError as error:
            self._failed[version] = folder.fingerprint
            self._set_status(VersionStatus(version, "END", str(error)))
            raise
        with self._lock:
            self._loaded[version] = servable
            self._statuses[version] = VersionStatus(version, "AVAILABLE")
        _LOGGER.info("%s version %d is AVAILABLE", self.name, version)

    def _load_with_retries(self, folder: VersionFolder, stop: threading.Event) -> Servable:
        retries_left = max(self._polling.load_retries, 0)
        while True:
            try:
                return self._load_servable(self.name, folder.version, folder.path)
            except LoadError as error:
                _LOGGER.warning(
                    "loading %s version %d failed, %d retries left: %s", self.name, folder.version, retries_left, error
                )
                if retries_left == 0 or stop.wait(self._polling.retry_interval_seconds):
                    raise
                retries_left -= 1

    def _unload(self, version: int) -> None:
        with self._lock:
            servable = self._unloading[version] = self._loaded.pop(version)
            self._statuses[version] = replace(self._statuses[version], state="UNLOADING")
            idle = self._requests.get(version, 0) == 0
        if idle:
            self._close(servable)

    def _release(self, version: int) -> None:
        with self._lock:
            self._requests[version] -= 1
            last = self._unloading.get(version) if self._requests[version] == 0 else None
        if last is not None:
            self._close(last)

    def _close(self, servable: Servable) -> None:
        with self._lock:
            if self._unloading.pop(servable.version, None) is None:
                return
            self._statuses[servable.version] = VersionStatus(servable.version, "END")
        servable.engine.close()
        _LOGGER.info("%s version %d is unloaded", self.name, servable.version)

    def _set_status(self, status: VersionStatus) -> None:
        with self._lock:
            self._statuses[status.version] = status


class Repository:
    """The configured models by name."""

    def __init__(self, models: list[ServedModel]) -> None:
        self._models = {model.name: model for model in models}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def names(self) -> frozenset[str]:
        """The configured models."""
        return frozenset(self._models)

    @property
    def ready(self) -> bool:
        """Whether every configured model has a version that answers."""
        return all(model.available for model in self._models.values())

    def load_first_versions(self, stop: threading.Event) -> None:
        """Return when every model is available, or `stop` is set.

        Raises:
            StartupError: A model cannot be loaded.
        """
        for model in self._models.values():
            model.load_first_version(stop)

    def start_polling(self) -> None:
        """Watch every model's folder, each on a thread of its own."""
        for model in self._models.values():
            thread = threading.Thread(
                target=model.poll_until, args=(self._stop,), name=f"poll-{model.name}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def stop_polling(self) -> None:
        """No version is loaded or unloaded any more."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=1.0)

    def find(self, name: str, version: int | None = None) -> ServedModel:
        """The model of this name.

        Raises:
            NotFoundError: No such model; the text is the one for a version that is not there.
        """
        model = self._models.get(name)
        if model is None:
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise NotFoundError(f"Servable not found for request: {wanted}")
        return model
