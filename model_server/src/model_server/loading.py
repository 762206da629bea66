"""From a version folder to a servable that has proven itself: loaded, verified and warmed up."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from model_server.batching import BatchingEngine
from model_server.batching_settings import BatchingSettings
from model_server.errors import LoadError
from model_server.inference import Inference
from model_server.predict import DataPlane
from model_server.servable import EngineSettings, Servable, load_servable
from model_server.warmup import warm_up


@dataclass(frozen=True)
class LoadSettings:
    """How versions are loaded; `warmup_iterations` is how often each record is sent, 0 for never."""

    engine: EngineSettings
    inference: Inference
    warmup_iterations: int = 1
    batching: BatchingSettings | None = None


def load_version(name: str, version: int, folder: Path, settings: LoadSettings, data_plane: DataPlane) -> Servable:
    """The servable, after its warm-up records.

    Raises:
        LoadError: The folder cannot be served, or a record fails; nothing is left open.
    """
    batching = settings.batching.load(folder) if settings.batching is not None else None
    servable = load_servable(name, version, folder, settings.engine)
    if batching is not None:
        observe = partial(data_plane.metrics.observe_batch, name)
        servable = replace(servable, engine=BatchingEngine(servable.engine, batching, observe))
    if not settings.warmup_iterations:
        return servable
    try:
        warm_up(
            servable,
            folder,
            settings.inference,
            lambda warmed, api: data_plane.runner(warmed, api, None, counts_examples=False),
            iterations=settings.warmup_iterations,
            observe=data_plane.metrics.observe_warmup,
        )
    except LoadError:
        servable.engine.close()
        raise
    return servable
