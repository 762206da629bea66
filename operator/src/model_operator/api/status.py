"""The status as the operator writes it: the types of `status` in the CRD. Pure.

Numbers are rounded to three significant digits where they are measured; a quality is written with six, and is judged as
it was measured.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PlainSerializer

from model_operator.api.structural import LIST_MAP_KEYS, LIST_TYPE
from model_operator.api.v1alpha1 import ApiObject

ConditionType = Literal["Ready", "ArtifactReady", "Available", "Reconciling", "Stalled", "WithinObjectives", "Compared"]


def format_time(time: datetime) -> str:
    """The time as Kubernetes writes it: UTC, whole seconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_size(size_bytes: int) -> str:
    """The size for people, in decimal units with three significant digits, as one word: `846kB`, `12.3MB`."""
    size, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        # 999.5 would be written as 1000.
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    digits = 0 if unit == "B" or size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{size:.{digits}f}{unit}"


def round_figure(number: float) -> float:
    """The number with six significant digits, as a quality is written: its last ones decide what it keeps to."""
    return float(f"{number:.6g}")


def _size_of(artifact: Mapping[str, Any]) -> str:
    return format_size(artifact["size_bytes"])


# JSON has no times: the API server hands back text, which these take too.
Time = Annotated[datetime, Field(strict=False), PlainSerializer(format_time, return_type=str, when_used="json")]
Figure = Annotated[float, PlainSerializer(round_figure, return_type=float, when_used="json")]


class StatusObject(ApiObject):
    """A part of the status: the operator builds it by its Python names and reads it back by those of the wire."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)


class Condition(StatusObject):
    """One observation about the model, as in every Kubernetes status."""

    type: ConditionType
    """What is observed; Stalled and Reconciling are good while False, all others while True."""
    status: Literal["True", "False", "Unknown"]
    """Whether it is so; Unknown where there is no data."""
    reason: str
    """A CamelCase word; docs/reasons.md says what each means and what to do."""
    message: str
    """What is so, where, and what to do about it."""
    last_transition_time: Time
    """Since when the status is what it is."""
    observed_generation: int
    """Generation of the spec that this is said about."""


class BuildStatus(StatusObject):
    """The build of the spec's recipe; absent where an artifact is given."""

    recipe_digest: str
    """Digest of the recipe: the same recipe is never built twice."""
    job: str | None = None
    """Name of the Job that builds, or has built, it."""
    attempt: int | None = None
    """Which attempt it is, from 1."""
    phase: str | None = None
    """What the build does: Loading, Training, Exporting, Measuring, Packing or Storing."""
    epoch: int | None = None
    """Epoch that is trained, from 1."""
    epochs: int | None = None
    """Epochs in all."""
    steps_per_second: float | None = None
    """Training steps a second."""
    eta_seconds: int | None = None
    """Seconds until the end of training, estimated."""
    started_at: Time | None = None
    """When the Job started."""
    finished_at: Time | None = None
    """When the Job ended, well or not."""
    message: str | None = None
    """What the build said last; after a failure: what was wrong and what to do."""


class QualityStatus(StatusObject):
    """How good the deployed model is, measured on the test images when it was built."""

    metric: str
    """What is told here: the metric of spec.objectives.quality, or else that of the build."""
    value: Figure
    """Its value: percent, but MeanAbsoluteError and MeanSquaredError in the unit of the targets."""
    baseline_value: Figure | None = None
    """The baseline's value."""
    loss: Figure | None = None
    """How much worse it is than the baseline's value, in the metric's unit (percent: points); below 0 it is better."""
    measures: dict[str, Figure] | None = None
    """Every metric that was measured when it was built; absent where that was one."""


class CompressionStatus(StatusObject):
    """How the weights are compressed: as the spec says, or as the artifact that it names tells."""

    alpha: float | None = None
    """Pruning strength."""
    bits: int | None = None
    """Bits of a weight's code; 32 is not quantised."""
    rule: str | None = None
    """How a weight became a code."""
    channel_sparsity: float | None = None
    """Share of each hidden layer's channels that are pruned as a whole; absent: none."""
    first_and_last_layers: str | None = None
    """Dense where they are not pruned; absent: Compressed."""


class ArtifactStatus(StatusObject):
    """The artifact of the spec."""

    uri: str
    """Where it is."""
    digest: str
    """Its content digest."""
    size_bytes: int
    """Its size."""
    size: str = Field(default_factory=_size_of)
    """The size for people, in decimal units (SIZE of kubectl get); derived from sizeBytes where it is not given."""
    baseline_size_bytes: int
    """Size of the baseline's artifact or, without a baseline, of the same weights as float32."""
    float_size_bytes: int | None = None
    """Size of the same weights as float32."""
    ratio: float
    """How many times smaller it is: baselineSizeBytes / sizeBytes."""
    bits_per_weight: float
    """Stored bits for each weight of the network."""
    entropy_bits_per_weight: float
    """Least bits for each weight that any coding of single codes could reach."""
    sparsity_percent: float
    """Weights that are zero."""
    trained: bool
    """False when it was not trained in full: size, speed and memory mean something, quality does not."""
    dataset: str | None = None
    """What it was trained on, as the build names it."""
    quality: QualityStatus | None = None


class ServingStatus(StatusObject):
    """What is served."""

    revision: str | None = None
    """The first 12 hexadecimal digits of the content digest of the artifact that answers."""
    digest: str | None = None
    """That content digest, whole: spec.source.artifact takes it to serve the same artifact again."""
    since: Time | None = None
    """When it took the place of what was served before."""
    candidate_revision: str | None = None
    """Those of the artifact that is being rolled out."""
    replicas: int = 0
    """Pods that exist."""
    ready_replicas: int = 0
    """Pods that answer."""
    selector: str
    """Labels of the pods, for the scale subresource."""
    http: str
    """Address of the REST interface inside the cluster."""
    grpc: str
    """Address of the gRPC interface inside the cluster."""


class KpiStatus(StatusObject):
    """What Prometheus measured on the served revision; what it has no data for is absent."""

    p95_latency_milliseconds: float | None = None
    """95 % of the requests were answered within this time, inside the server."""
    cpu_millicores: float | None = None
    """CPU that a pod uses, mean over pods."""
    memory_mebibytes: float | None = None
    """Working set of a pod, mean over pods."""
    cpu_milliseconds_per_request: float | None = None
    """CPU time that a request costs."""
    requests_per_second: float | None = None
    """Requests a second, of all pods."""
    error_percent: float | None = None
    """Requests that failed."""
    requests: int | None = None
    """Requests in the window, of all pods."""
    window: str
    """Over which it was measured: that of spec.objectives, or less while the pods are younger."""
    measured_at: Time
    """When the window ended."""


class SavingsStatus(StatusObject):
    """Ratios baseline : model (2 means half as much), measured over the same window."""

    size: float
    """Bytes of the artifact."""
    latency: float | None = None
    """Latency that 95 % of the requests keep to."""
    cpu: float | None = None
    """CPU time of a request."""
    memory: float | None = None
    """Working set of a pod."""
    cost_percent: float | None = None
    """By how much a pod is cheaper, in percent, at the same requests a second and the prices of the settings."""
    requests: int
    """Requests of the model in the window."""
    baseline_requests: int
    """Requests of the baseline in the window."""
    requests_per_second_per_pod: float
    """Load of a pod of the model."""
    baseline_requests_per_second_per_pod: float
    """Load of a pod of the baseline; within a factor of 2, or nothing is compared."""
    measured_at: Time
    """When the window ended."""


class Revision(StatusObject):
    """A revision that was served before."""

    digest: str
    """Content digest of its artifact."""
    served_at: Time | None = None
    """When it took the place of what was served before; absent where that was not noted."""
    replaced_at: Time
    """When another revision took its place."""
    reason: str
    """Why."""


class CompressedModelStatus(StatusObject):
    """What is, as the operator last saw it."""

    observed_generation: int
    """Generation of the spec that this status belongs to."""
    conditions: Annotated[
        tuple[Condition, ...],
        Field(strict=False, json_schema_extra={LIST_TYPE: "map", LIST_MAP_KEYS: ["type"]}),
    ] = ()
    """How the model stands, one entry for each type."""
    compression: CompressionStatus | None = None
    build: BuildStatus | None = None
    artifact: ArtifactStatus | None = None
    serving: ServingStatus | None = None
    kpis: KpiStatus | None = None
    savings: SavingsStatus | None = None
    history: Annotated[tuple[Revision, ...], Field(strict=False, json_schema_extra={LIST_TYPE: "atomic"})] = ()
    """The last ten revisions that were served before, oldest first."""

    def to_json(self) -> dict[str, Any]:
        """As the API server takes it; what is absent is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
