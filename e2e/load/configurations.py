"""What is compared: seven compressions of each network, and the baselines.

Pure but for looking for trained artifacts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, get_args

from load.results import Kind, Network, Protocol
from model_artifact.inspection import inspect

ALPHAS = (0.0, 0.5, 1.25)
BITS = (32, 8)
PRUNED_CHANNELS = (1.25, 8, 0.5)
"""Alpha and bits that are served a second time, and the share of channels that is pruned as a whole there."""
BASELINES = ("flask", "tensorflow-serving")
NETWORKS: tuple[Network, ...] = get_args(Network)
SHAPES: Mapping[Network, tuple[str, str]] = {
    "vgg16": ("VGG16", "CIFAR10"),
    "cnn": ("CNN", "CIFAR10"),
    "digits": ("SmallCNN", "Digits"),
}
"""Architecture and data set of each network."""
IMAGE_SHAPES: Mapping[Network, tuple[int, int, int]] = {"vgg16": (32, 32, 3), "cnn": (32, 32, 3), "digits": (8, 8, 1)}
ARTIFACTS = Path(__file__).resolve().parents[2] / "examples" / "artifacts"
TENSORFLOW_SERVING = "tensorflow/serving:2.20.0"


class PlanError(Exception):
    """What was asked for cannot be planned; one sentence with what to do."""


@dataclass(frozen=True)
class Limits:
    """What every server may use; all pods are of one quality of service (Burstable).

    Requests are small: all configurations stand side by side while one is asked, and requests as large as the limits
    would reserve more cores than a small node has.
    """

    cpu: str = "1"
    memory: str = "2Gi"
    cpu_request: str = "25m"
    memory_request: str = "64Mi"

    def render(self) -> dict[str, dict[str, str]]:
        """As a container states them."""
        return {
            "requests": {"cpu": self.cpu_request, "memory": self.memory_request},
            "limits": {"cpu": self.cpu, "memory": self.memory},
        }


@dataclass(frozen=True)
class Planned:
    """A configuration that is to be deployed.

    Attributes:
        name: of the CompressedModel, or of the baseline's Deployment and Service.
        network: what is served.
        alpha: pruning threshold in standard deviations.
        bits: of a stored weight.
        kind: which server answers.
        int8: whether TensorFlow Serving is to serve model.tflite in place of the SavedModel.
        channel_sparsity: share of each hidden layer's channels that is pruned as a whole.
    """

    name: str
    network: Network
    alpha: float
    bits: int
    kind: Kind = "modelpress"
    int8: bool = False
    channel_sparsity: float = 0.0

    @property
    def reference(self) -> str:
        """The uncompressed CompressedModel of the same network."""
        return name_compression(self.network, 0.0, 32)

    @property
    def source(self) -> str:
        """The CompressedModel with the same weights."""
        return name_compression(self.network, self.alpha, self.bits, self.channel_sparsity)

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """By which it can be asked: Flask has no gRPC."""
        return ("rest",) if self.kind == "flask" else ("rest", "grpc")


@dataclass(frozen=True)
class Trained:
    """A trained artifact that is there already."""

    path: Path
    digest: str


def name_compression(network: str, alpha: float, bits: int, channel_sparsity: float = 0.0) -> str:
    """Such as vgg16-a125-b8, or vgg16-a125-b8-c50 with half of its channels pruned."""
    channels = f"-c{round(100 * channel_sparsity)}" if channel_sparsity else ""
    return f"{network}-a{round(100 * alpha)}-b{bits}{channels}"


def plan_compression(network: Network, alpha: float, bits: int, channel_sparsity: float = 0.0) -> Planned:
    """Ours at a setting, under its own name."""
    name = name_compression(network, alpha, bits, channel_sparsity)
    return Planned(name, network, alpha, bits, channel_sparsity=channel_sparsity)


def plan_configurations(
    networks: Sequence[Network], baselines: Sequence[str] = (), *, short: bool = False, only: Sequence[str] = ()
) -> tuple[Planned, ...]:
    """All configurations, uncompressed ones first; in short only (0, 32) and (1.25, 8).

    Args:
        networks: of which.
        baselines: beside them, chosen by themselves.
        short: see above.
        only: compressions such as `a125-b8`, names such as `vgg16-a125-b8`, or patterns such as `*-b8`; empty:
            all of them.

    Raises:
        PlanError: when one of `only` is none of them, or they leave out what the others are compared with.
    """
    whole = [*((alpha, bits) for bits in BITS for alpha in ALPHAS), PRUNED_CHANNELS]
    settings = ((0.0, 32), (1.25, 8)) if short else whole
    every = [plan_compression(network, *setting) for network in networks for setting in settings]
    _require_known(only, every)
    found = []
    for network in networks:
        own = [each for each in every if each.network == network and (not only or _is_one_of(each, only))]
        if own and own[0].name != own[0].reference:
            raise PlanError(
                f"{own[0].reference} is what {own[0].name} is compared with: add a0-b32 to the configurations"
            )
        if not own:
            continue
        found += own
        if "flask" in baselines:
            found.append(Planned(f"{network}-flask", network, 0.0, 32, "flask"))
        if "tensorflow-serving" in baselines:
            found.append(Planned(f"{network}-serving-float32", network, 0.0, 32, "tensorflow-serving"))
            found.append(Planned(f"{network}-serving-tflite", network, 1.25, 8, "tensorflow-serving", int8=True))
    return tuple(found)


def _is_one_of(planned: Planned, patterns: Sequence[str]) -> bool:
    names = (planned.name, planned.name.removeprefix(f"{planned.network}-"))
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _require_known(only: Sequence[str], every: Sequence[Planned]) -> None:
    for pattern in only:
        if not any(_is_one_of(each, [pattern]) for each in every):
            raise PlanError(f"{pattern!r} is none of {', '.join(each.name for each in every)}")


def find_trained(planned: Planned, folder: Path) -> Trained | None:
    """The trained artifact with the configuration's weights, where the folder has one of that name."""
    path = folder / f"{planned.source}.zip"
    return Trained(path, inspect(path).digest) if path.is_file() else None


def render_alone(planned: Planned, limits: Limits, artifact: Mapping[str, str]) -> dict[str, Any]:
    """One more CompressedModel with an artifact that is there; it is compared with nothing."""
    manifest = render_manifest(planned, limits, "60s", artifact)
    manifest["spec"].pop("baseline", None)
    return manifest


def render_manifest(
    planned: Planned, limits: Limits, window: str, artifact: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The CompressedModel of a configuration that the operator serves, with one pod and no autoscaler.

    Args:
        planned: which.
        limits: of its server.
        window: over which the operator measures.
        artifact: `uri` and `digest` of a trained one; None: the network's initial weights, pruned and quantised.
    """
    architecture, dataset = SHAPES[planned.network]
    spec: dict[str, Any] = {
        "source": {"artifact": dict(artifact)}
        if artifact
        else {"training": {"architecture": architecture, "dataset": dataset, "epochs": 0, "seed": 0}},
        "serving": {"resources": limits.render()},
        "replicas": 1,
        "objectives": {"window": window},
    }
    if artifact is None:
        spec["compression"] = {"alpha": planned.alpha, "bits": planned.bits, "rule": "Floor"}
        if planned.channel_sparsity:
            spec["compression"] |= {"rule": "Shadow", "channelSparsity": planned.channel_sparsity}
    if planned.kind == "tensorflow-serving":
        precision = "Int8" if planned.int8 else "Float32"
        spec["serving"] |= {"image": TENSORFLOW_SERVING, "precision": precision}
    if planned.name != planned.reference:
        spec["baseline"] = {"name": planned.reference}
    return {
        "apiVersion": "modelpress.dev/v1alpha1",
        "kind": "CompressedModel",
        "metadata": {"name": planned.name},
        "spec": spec,
    }
