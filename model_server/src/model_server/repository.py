"""All models: started together, watched, and replaced by another list without an unanswered request."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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

ResolvePath = Callable[[str], Path]
ReadConfigs = Callable[[], tuple[ModelConfig, ...] | None]


class Repository:
    """The configured models by name. A model that is no longer configured is kept for its statuses only."""

    def __init__(
        self,
        load: Load,
        polling: Polling,
        resolve: ResolvePath = Path,
        *,
        load_threads: int = 1,
        labels_before_versions: bool = False,
    ) -> None:
        """Load with `load`; `resolve` says which folder a base path stands for.

        Args:
            load: turns a version folder into a servable.
            polling: when folders are looked at.
            resolve: raises LoadError where a base path is nothing that can be served.
            load_threads: how many models are looked at at once.
            labels_before_versions: whether a new label may name a version that does not answer yet.
        """
        self._load = load
        self._polling = polling
        self._resolve = resolve
        self._load_threads = max(load_threads, 1)
        self._labels_before_versions = labels_before_versions
        self._models: dict[str, ServedModel] = {}
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
        """Whether every configured model has a version that answers."""
        return all(model.available for model in self._configured())

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
                    self._assign_labels(configs)
                    return
                stop.wait(_WAIT_FOR_FIRST_VERSION_SECONDS)
        except ServingError as error:
            raise StartupError(f"Failed to start server. Error: {error}") from error

    def reload(self, configs: Sequence[ModelConfig]) -> None:
        """Serve these models and no others; what answers now goes only when what replaces it answers.

        Raises:
            InvalidArgumentError: A base path is nothing that can be served; nothing has changed.
            FailedPreconditionError: A label names a version that does not answer; nothing has changed.
            UnknownError: Models that were not there before did not become available; everything else is done.
        """
        with self._changing:
            before = {name: model.source for name, model in self._models.items()}
            self._configure(configs)
            wanted = {config.name: self._models[config.name] for config in configs}
            self._load_aspired(wanted.values(), self._stop)
            missing = {name: model.problem for name, model in wanted.items() if not model.available}
            try:
                self._assign_labels([config for config in configs if config.name not in missing])
            except FailedPreconditionError:
                for name, model in self._models.items():
                    model.configure(before.get(name))
                raise
            for name, model in self._models.items():
                if name not in wanted:
                    model.configure(None)
                    model.label({})
                    model.load_aspired(self._stop)
                model.unload_surplus()
        new = {name: problem for name, problem in missing.items() if before.get(name) is None}
        if new:
            raise UnknownError(f"{len(new)} model(s) did not become available: {_format_problems(new)}")

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
            sources = {c.name: ModelSource(self._resolve(c.base_path), c.policy) for c in configs}
        except LoadError as error:
            raise InvalidArgumentError(str(error)) from error
        for name, source in sources.items():
            self._models.setdefault(name, ServedModel(name, self._load, self._polling)).configure(source)

    def _assign_labels(self, configs: Sequence[ModelConfig]) -> None:
        for config in configs:
            model = self._models[config.name]
            for label, version in config.labels.items():
                may_wait = self._labels_before_versions and model.labels.get(label, version) == version
                if not may_wait and not model.serves(version):
                    raise FailedPreconditionError(
                        f"Request to assign label to version {version} of model {config.name}, which is not currently"
                        " available for inference"
                    )
        for config in configs:
            self._models[config.name].label(config.labels)

    def _poll_all(self) -> None:
        with self._changing:
            self._poll(self._configured(), self._stop)

    def _poll(self, models: Sequence[ServedModel], stop: threading.Event) -> None:
        self._load_aspired(models, stop)
        for model in models:
            model.unload_surplus()

    def _load_aspired(self, models: Iterable[ServedModel], stop: threading.Event) -> None:
        """Models that nobody can ask yet are loaded side by side; a new version takes its turn behind the others."""
        models = list(models)
        missing = [model for model in models if not model.available]
        if len(missing) > 1 and self._load_threads > 1:
            with ThreadPoolExecutor(self._load_threads, thread_name_prefix="load") as threads:
                list(threads.map(lambda model: model.load_aspired(stop), missing))
        else:
            for model in missing:
                model.load_aspired(stop)
        for model in models:
            if model not in missing:
                model.load_aspired(stop)


def _format_problems(problems: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {problem}" for name, problem in problems.items()) + "}"
