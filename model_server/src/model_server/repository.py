"""All models: started together, watched, and replaced by another list without an unanswered request."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from model_server.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    LoadError,
    NotFoundError,
    ServingError,
    StartupError,
    UnknownError,
)
from model_server.model_config import ModelConfig
from model_server.served_model import Load, ModelSource, Polling, ServedModel, format_request

_LOGGER = logging.getLogger(__name__)
_WAIT_FOR_FIRST_VERSION_SECONDS = 1.0

ReadConfigs = Callable[[], tuple[ModelConfig, ...] | None]


class BasePaths(Protocol):
    """Which folders base paths stand for."""

    def resolve(self, base_path: str) -> Path:
        """The folder that holds what the base path names now.

        Raises:
            LoadError: It names nothing that can be served.
        """

    def resolve_again(self, base_path: str) -> Path:
        """As `resolve`, but a trouble that is known is not tried again until the file changes."""

    def keep(self, folders: AbstractSet[Path]) -> None:
        """No other folders are in use any more."""


class PlainFolders:
    """Base paths that are folders, and stand for themselves."""

    def resolve(self, base_path: str) -> Path:
        """The folder."""
        return Path(base_path)

    resolve_again = resolve

    def keep(self, folders: AbstractSet[Path]) -> None:
        """Folders stay."""


class Repository:
    """The configured models by name. A model that is no longer configured is kept for its statuses only."""

    def __init__(
        self,
        load: Load,
        polling: Polling,
        base_paths: BasePaths | None = None,
        *,
        load_threads: int = 1,
        labels_before_versions: bool = False,
    ) -> None:
        """Load with `load` from where `base_paths` says.

        Args:
            load: turns a version folder into a servable.
            polling: when folders are looked at.
            base_paths: which folders the configured base paths stand for; themselves, when absent.
            load_threads: how many models are looked at at once.
            labels_before_versions: whether a new label may name a version that does not answer yet.
        """
        self._load = load
        self._polling = polling
        self._base_paths = base_paths or PlainFolders()
        self._named_paths: dict[str, str] = {}
        self._told: dict[str, str] = {}
        self._load_threads = max(load_threads, 1)
        self._labels_before_versions = labels_before_versions
        self._models: dict[str, ServedModel] = {}
        self._started = False
        # Held while models are loaded, unloaded or configured; requests never wait for it.
        self._changing = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __contains__(self, name: object) -> bool:
        """Whether a model of this name is configured."""
        model = self._models.get(name) if isinstance(name, str) else None
        return model is not None and model.source is not None

    @property
    def ready(self) -> bool:
        """Whether every configured model has a version that answers; later additions count once they have had one.

        A model that is added while others are served, and whose path may be wrong, takes nothing from them.
        """
        return all(model.available for model in self._configured() if model.has_answered or not self._started)

    def find(self, name: str, version: int | None = None) -> ServedModel:
        """The model of this name, also one that is no longer configured.

        Raises:
            NotFoundError: There was never such a model; the text is the one for a version that is not there.
        """
        model = self._models.get(name)
        if model is None:
            raise NotFoundError(f"Servable not found for request: {format_request(name, version)}")
        return model

    def start(self, configs: Sequence[ModelConfig], stop: threading.Event) -> None:
        """Return when every model is available, or `stop` is set; versions that do not exist yet are waited for.

        Raises:
            StartupError: A model cannot be loaded, or a label names a version that does not answer.
        """
        try:
            self._configure(configs)
            while not stop.is_set():
                with self._changing:
                    self._poll([model for model in self._configured() if not model.available], stop)
                failed = {model.name: model.problem for model in self._configured() if model.load_failed}
                if failed and not stop.is_set():
                    raise StartupError(
                        f"Failed to start server. Error: {len(failed)} servable(s) did not become available:"
                        f" {_format_problems(failed)}"
                    )
                if self.ready:
                    self._check_labels(configs)
                    for config in configs:
                        self._models[config.name].label(config.labels)
                    self._started = True
                    return
                stop.wait(_WAIT_FOR_FIRST_VERSION_SECONDS)
        except ServingError as error:
            raise StartupError(f"Failed to start server. Error: {error}") from error

    def reload(self, configs: Sequence[ModelConfig]) -> None:
        """Serve these models and no others; what answers now goes only when what replaces it answers.

        Raises:
            InvalidArgumentError: A base path is nothing that can be served; nothing has changed.
            FailedPreconditionError: A label names a version that does not answer; nothing has changed.
            UnknownError: Models that were not there before, or were elsewhere, did not become available; everything
                else is done.
        """
        with self._changing:
            before = {name: model.source for name, model in self._models.items()}
            named_before = dict(self._named_paths)
            self._configure(configs)
            wanted = {config.name: self._models[config.name] for config in configs}
            # Only a label can have the list refused, and then nothing of it may have answered anybody.
            self._load_aspired(wanted.values(), self._stop, publish=not any(config.labels for config in configs))
            loaded = [config for config in configs if wanted[config.name].loaded]
            try:
                self._check_labels(loaded)
            except FailedPreconditionError:
                self._go_back(before, named_before)
                raise
            for model in wanted.values():
                model.publish()
            for config in loaded:
                self._models[config.name].label(config.labels)
            self._retire_all_but(wanted)
        missing = {name: model.problem for name, model in wanted.items() if _moved(before.get(name), model)}
        if missing:
            raise UnknownError(f"{len(missing)} model(s) did not become available: {_format_problems(missing)}")

    def _retire_all_but(self, wanted: Mapping[str, ServedModel]) -> None:
        for name, model in self._models.items():
            if name not in wanted:
                model.configure(None)
                model.label({})
                model.load_aspired(self._stop)
                self._named_paths.pop(name, None)
            model.unload_surplus()
        self._keep_folders()

    def _go_back(self, sources: Mapping[str, ModelSource | None], named_paths: dict[str, str]) -> None:
        """A list was refused before anything of it was published."""
        for name, model in list(self._models.items()):
            model.discard()
            if name in sources:
                model.configure(sources[name])
            else:
                del self._models[name]
        self._named_paths = named_paths
        self._keep_folders()

    def start_polling(self, read_configs: ReadConfigs | None = None, config_wait_seconds: float = 0) -> None:
        """Watch the models' folders and, where there is one, the file that lists the models."""
        if self._polling.wait_seconds > 0:
            self._start_thread("poll", self._polling.wait_seconds, self._poll_all)
        if read_configs is not None and config_wait_seconds > 0:
            self._start_thread("config", config_wait_seconds, lambda: self._reload_from(read_configs))

    def stop_polling(self) -> None:
        """No version is loaded or unloaded any more."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=1.0)

    def give_up(self) -> None:
        """The process ends: requests that wait for an engine are refused."""
        for model in list(self._models.values()):
            model.give_up()

    def _start_thread(self, name: str, wait_seconds: float, action: Callable[[], object]) -> None:
        def repeat() -> None:
            while not self._stop.wait(wait_seconds):
                try:
                    action()
                except (ServingError, StartupError) as error:
                    _LOGGER.error("reading the list of models again: %s", error)  # noqa: TRY400  # expected trouble
                except Exception:
                    # This thread must outlive whatever a broken folder provokes: without it nothing is loaded again.
                    _LOGGER.exception("looking for versions failed")

        thread = threading.Thread(target=repeat, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _reload_from(self, read_configs: ReadConfigs) -> None:
        configs = read_configs()
        if configs is not None:
            self.reload(configs)

    def _configured(self) -> list[ServedModel]:
        return [model for model in list(self._models.values()) if model.source is not None]

    def _configure(self, configs: Iterable[ModelConfig]) -> None:
        try:
            sources = {c.name: ModelSource(self._base_paths.resolve(c.base_path), c.policy) for c in configs}
        except LoadError as error:
            self._keep_folders()
            raise InvalidArgumentError(str(error)) from error
        for config in configs:
            self._named_paths[config.name] = config.base_path
        for name, source in sources.items():
            self._models.setdefault(name, ServedModel(name, self._load, self._polling)).configure(source)

    def _look_again(self, model: ServedModel) -> None:
        """What the base path names may be another artifact by now; one that is damaged changes nothing."""
        if model.source is None:
            return
        try:
            folder = self._base_paths.resolve_again(self._named_paths[model.name])
        except LoadError as error:
            if self._told.get(model.name) != str(error):
                self._told[model.name] = str(error)
                _LOGGER.warning("%s is served as before: %s", model.name, error)
            return
        self._told.pop(model.name, None)
        model.configure(replace(model.source, base_path=folder))

    def _keep_folders(self) -> None:
        self._base_paths.keep({model.source.base_path for model in self._models.values() if model.source is not None})

    def _check_labels(self, configs: Sequence[ModelConfig]) -> None:
        for config in configs:
            model = self._models[config.name]
            for label, version in config.labels.items():
                may_wait = self._labels_before_versions and model.labels.get(label, version) == version
                if not may_wait and not model.serves(version):
                    raise FailedPreconditionError(
                        f"Request to assign label to version {version} of model {config.name}, which is not currently"
                        " available for inference"
                    )

    def _poll_all(self) -> None:
        with self._changing:
            self._poll(self._configured(), self._stop)

    def _poll(self, models: Sequence[ServedModel], stop: threading.Event) -> None:
        for model in models:
            _apart(model, self._look_again)
        self._load_aspired(models, stop)
        for model in models:
            _apart(model, ServedModel.unload_surplus)
        self._keep_folders()

    def _load_aspired(self, models: Iterable[ServedModel], stop: threading.Event, *, publish: bool = True) -> None:
        """Models that nobody can ask yet are loaded side by side; a new version takes its turn behind the others."""

        def load(model: ServedModel) -> None:
            _apart(model, lambda each: each.load_aspired(stop, publish=publish))

        models = list(models)
        missing = [model for model in models if not model.available]
        if len(missing) > 1 and self._load_threads > 1:
            with ThreadPoolExecutor(self._load_threads, thread_name_prefix="load") as threads:
                list(threads.map(load, missing))
        else:
            for model in missing:
                load(model)
        for model in models:
            if model not in missing:
                load(model)


def _apart(model: ServedModel, act: Callable[[ServedModel], None]) -> None:
    """Do that to one of several models; what nobody foresaw in it is told, and keeps none of the others waiting."""
    try:
        act(model)
    except StartupError:
        raise
    except Exception:
        _LOGGER.exception("looking for versions of %s failed", model.name)
        model.fail(f"The server failed at model {model.name}, and its log says where.")


def _moved(before: ModelSource | None, model: ServedModel) -> bool:
    """Whether a model that is new, or whose base path is, does not answer with what is there."""
    new = before is None or (model.source is not None and before.base_path != model.source.base_path)
    return new and not model.current


def _format_problems(problems: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {problem}" for name, problem in problems.items()) + "}"
