"""How a pod comes to serve: what unpacks for it, what is left packed, and how often it is asked. Pure.

All of that has done its work once a pod serves. So a live Deployment keeps what it has of it: docs/decisions/0027.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from model_operator import names
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.observation import Object
from model_operator.planning.engine import choose_image, name_server
from model_operator.settings import Settings

EXCLUDE: Final = "--exclude"
_UNREAD: Final = ("variables",)
"""The weights of the SavedModel: modelpress-server reads its signatures, and the weights of model.tflite."""
_PROBE_SECONDS: Final = 1
_LOADING_SECONDS: Final = 120


@dataclass(frozen=True)
class Start:
    """What of a Deployment's template matters only until its pods serve.

    Attributes:
        unpack_image: of the container that unpacks.
        excluded: files and folders of the artifact that it leaves out.
        probe_seconds: between two questions whether the model is loaded.
    """

    unpack_image: str
    excluded: tuple[str, ...]
    probe_seconds: int

    @property
    def arguments(self) -> list[str]:
        """For the command that unpacks."""
        return [each for path in self.excluded for each in (EXCLUDE, path)]

    @property
    def probe(self) -> dict[str, int]:
        """How often a starting server is asked: a model has two minutes to load."""
        return {"periodSeconds": self.probe_seconds, "failureThreshold": _LOADING_SECONDS // self.probe_seconds}


def choose_start(model: CompressedModel, settings: Settings) -> Start:
    """That of new pods; only an image that is known to be our server's does without the SavedModel's weights."""
    ours = name_server(choose_image(model, settings)) == "modelpress-server"
    return Start(settings.unpack_image, _UNREAD if ours else (), _PROBE_SECONDS)


def find_start(deployment: Object) -> Start | None:
    """That of a live Deployment's pods; None where it has none that could be ours."""
    pod = ((deployment.get("spec") or {}).get("template") or {}).get("spec") or {}
    unpack = _find_container(pod.get("initContainers"), names.UNPACK_CONTAINER)
    server = _find_container(pod.get("containers"), names.SERVER_CONTAINER)
    image, seconds = unpack.get("image"), (server.get("startupProbe") or {}).get("periodSeconds")
    if not image or not isinstance(seconds, int) or seconds < 1:
        return None
    return Start(str(image), tuple(_find_excluded(unpack.get("args") or [])), seconds)


def _find_container(containers: Any, name: str) -> Mapping[str, Any]:
    return next((each for each in containers or () if each.get("name") == name), {})


def _find_excluded(arguments: list[str]) -> Iterator[str]:
    """What follows each of the options."""
    return (path for option, path in pairwise(arguments) if option == EXCLUDE)
