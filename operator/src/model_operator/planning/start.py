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
_LOADING_SECONDS: Final = 120
_UNREADY_SECONDS: Final = 15


@dataclass(frozen=True)
class Start:
    """What of a Deployment's template matters only until its pods serve.

    Attributes:
        unpack_image: of the container that unpacks.
        excluded: files and folders of the artifact that it leaves out.
        startup_probe_seconds: between two questions of a startup probe; None: there is none, docs/decisions/0033.
    """

    unpack_image: str
    excluded: tuple[str, ...]
    startup_probe_seconds: int | None = None

    @property
    def arguments(self) -> list[str]:
        """For the command that unpacks."""
        return [each for path in self.excluded for each in (EXCLUDE, path)]

    def render_probes(self, status: Mapping[str, Any]) -> dict[str, Any]:
        """Whether the model is loaded, and whether the server lives; a model has two minutes to load.

        The kubelet asks for readiness as soon as it sees a container run, unless there is a startup probe: that one is
        asked at its next turn, up to a second later. A liveness probe that begins late does the same for slow loading.

        Args:
            status: of a probe, how to ask for the model's state.
        """
        alive = {"tcpSocket": {"port": "grpc"}, "periodSeconds": 10}
        seconds = self.startup_probe_seconds
        if seconds is not None:
            startup = {**status, "periodSeconds": seconds, "failureThreshold": _LOADING_SECONDS // seconds}
            ready = {**status, "periodSeconds": 5}
            return {"startupProbe": startup, "readinessProbe": ready, "livenessProbe": alive}
        ready = {**status, "periodSeconds": 1, "failureThreshold": _UNREADY_SECONDS}
        return {"readinessProbe": ready, "livenessProbe": {**alive, "initialDelaySeconds": _LOADING_SECONDS}}


def choose_start(model: CompressedModel, settings: Settings) -> Start:
    """That of new pods; only an image that is known to be our server's does without the SavedModel's weights."""
    ours = name_server(choose_image(model, settings)) == "modelpress-server"
    return Start(settings.unpack_image, _UNREAD if ours else ())


def find_start(deployment: Object) -> Start | None:
    """That of a live Deployment's pods; None where it has none that could be ours."""
    pod = ((deployment.get("spec") or {}).get("template") or {}).get("spec") or {}
    unpack = _find_container(pod.get("initContainers"), names.UNPACK_CONTAINER)
    server = _find_container(pod.get("containers"), names.SERVER_CONTAINER)
    image, startup = unpack.get("image"), server.get("startupProbe")
    seconds = None if startup is None else startup.get("periodSeconds")
    if not image or not (startup is None or (isinstance(seconds, int) and seconds > 0)):
        return None
    return Start(str(image), tuple(_find_excluded(unpack.get("args") or [])), seconds)


def _find_container(containers: Any, name: str) -> Mapping[str, Any]:
    return next((each for each in containers or () if each.get("name") == name), {})


def _find_excluded(arguments: list[str]) -> Iterator[str]:
    """What follows each of the options."""
    return (path for option, path in pairwise(arguments) if option == EXCLUDE)
