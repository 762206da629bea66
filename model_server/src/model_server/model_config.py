"""Which models are served: one from the flags, or those of a ModelServerConfig. Pure but for `ModelList.load`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from model_server._protos.tensorflow_serving.config import model_server_config_pb2
from model_server.errors import FailedPreconditionError, InvalidArgumentError, ServingError, StartupError
from model_server.text_config import load_text_config
from model_server.versions import LATEST, VersionPolicy

PLATFORM = "tensorflow"


@dataclass(frozen=True)
class ModelConfig:
    """One model: where its versions are, which of them are served, and which labels stand for which."""

    name: str
    base_path: str
    policy: VersionPolicy = LATEST
    labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelList:
    """Where the list of models comes from: the file, or without one the flags' single model."""

    single: ModelConfig
    file: Path | None = None
    file_poll_wait_seconds: float = 0
    load_threads: int = 1
    labels_before_versions: bool = False

    def load(self) -> tuple[ModelConfig, ...] | None:
        """The models as things are now; None where the file lists none, which asks for no change.

        Raises:
            StartupError: The file cannot be read, or what it asks for is not possible.
        """
        if self.file is None:
            return (self.single,)
        config = load_text_config(self.file, model_server_config_pb2.ModelServerConfig(), "model_config_file")
        if config.WhichOneof("config") is None:
            return None
        try:
            return plan_models(config)
        except ServingError as error:
            raise StartupError(f"--model_config_file={self.file} cannot be served: {error}") from error


def plan_models(config: model_server_config_pb2.ModelServerConfig) -> tuple[ModelConfig, ...]:
    """The models that the message lists; the texts of refusals are TensorFlow Serving's.

    Raises:
        InvalidArgumentError: A model is listed twice, has a relative path, or a platform that is not served.
        FailedPreconditionError: The message holds a custom config.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise FailedPreconditionError(
            "Cannot transition to requested config. It is only legal to transition from one ModelConfigList to another."
        )
    models: dict[str, ModelConfig] = {}
    for entry in config.model_config_list.config:
        if entry.name in models:
            raise InvalidArgumentError(f"Illegal to list model {entry.name} multiple times in config list")
        _check_path(entry)
        _check_platform(entry)
        models[entry.name] = ModelConfig(
            entry.name, entry.base_path, _parse_policy(entry.model_version_policy), dict(entry.version_labels)
        )
    return tuple(models.values())


def _check_path(entry: model_server_config_pb2.ModelConfig) -> None:
    if not entry.base_path.startswith("/") and "://" not in entry.base_path:
        raise InvalidArgumentError(
            f"Expected model {entry.name} to have an absolute path or URI; got base_path()={entry.base_path}"
        )


def _check_platform(entry: model_server_config_pb2.ModelConfig) -> None:
    """`tensorflow`, by its name or by the number that older files write; what stands behind it is LiteRT."""
    if entry.model_type and entry.model_platform:
        raise InvalidArgumentError(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform,"
            f" model name is {entry.name}"
        )
    if not entry.model_type and not entry.model_platform:
        raise InvalidArgumentError(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform,"
            f" model name is {entry.name}"
        )
    if entry.model_type not in {0, model_server_config_pb2.TENSORFLOW}:
        raise InvalidArgumentError(f"ModelServerConfig::model_type choice {entry.model_type} not supported.")
    if entry.model_platform not in {"", PLATFORM}:
        raise InvalidArgumentError(f"Model {entry.name} requests unsupported platform {entry.model_platform}")


def _parse_policy(policy: object) -> VersionPolicy:
    choice = policy.WhichOneof("policy_choice")  # type: ignore[attr-defined]
    if choice == "all":
        return VersionPolicy("all")
    if choice == "specific":
        return VersionPolicy("specific", versions=frozenset(policy.specific.versions))  # type: ignore[attr-defined]
    return VersionPolicy("latest", count=max(policy.latest.num_versions, 1))  # type: ignore[attr-defined]
