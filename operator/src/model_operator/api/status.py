"""The status as the operator writes it: the types of `status` in the CRD. Pure.

Numbers are rounded to three significant digits where they are measured.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from model_operator.api.v1alpha1 import ApiObject

ConditionType = Literal["Ready", "ArtifactReady", "Available", "Reconciling", "Stalled", "WithinObjectives", "Compared"]
Time = Annotated[datetime, Field(json_schema_extra={"format": "date-time"})]


class Condition(ApiObject):
    """One observation about the model, as in every Kubernetes status."""

    type: ConditionType
    status: Literal["True", "False", "Unknown"]
    reason: str
    """A CamelCase word; docs/reasons.md says what each means and what to do."""
    message: str
    """What is so, where, and what to do about it."""
    last_transition_time: Time
    observed_generation: int


class BuildStatus(ApiObject):
    """The build of the spec's recipe."""

    recipe_digest: str
    job: str | None = None
    attempt: int | None = None
    """From 1."""
    phase: str | None = None
    epoch: int | None = None
    epochs: int | None = None
    steps_per_second: float | None = None
    eta_seconds: int | None = None
    started_at: Time | None = None
    finished_at: Time | None = None
    message: str | None = None


class QualityStatus(ApiObject):
    """How good the deployed model is."""

    metric: str
    value: float
    baseline_value: float | None = None
    loss: float | None = None
    """Baseline's value minus this one's; positive is worse."""


class ArtifactStatus(ApiObject):
    """The artifact of the spec."""

    uri: str
    digest: str
    size_bytes: int
    baseline_size_bytes: int
    """The baseline's artifact, or, without a baseline, the same weights as float32."""
    ratio: float
    """baselineSizeBytes / sizeBytes."""
    bits_per_weight: float
    entropy_bits_per_weight: float
    sparsity_percent: float
    trained: bool
    """False when it was not trained in full: size, speed and memory mean something, quality does not."""
    dataset: str | None = None
    quality: QualityStatus | None = None


class ServingStatus(ApiObject):
    """What is served."""

    revision: str | None = None
    """Content digest (12 digits) of the artifact that answers."""
    candidate_revision: str | None = None
    """The one that is being rolled out."""
    replicas: int = 0
    ready_replicas: int = 0
    selector: str
    """For the scale subresource."""
    http: str
    grpc: str


class KpiStatus(ApiObject):
    """What Prometheus measured on the served revision; what it has no data for is absent."""

    p95_latency_milliseconds: float | None = None
    cpu_millicores: float | None = None
    memory_mebibytes: float | None = None
    cpu_milliseconds_per_request: float | None = None
    requests_per_second: float | None = None
    error_percent: float | None = None
    requests: int | None = None
    window: str
    measured_at: Time


class SavingsStatus(ApiObject):
    """Ratios baseline : model (2 means half as much), measured over the same window."""

    size: float
    latency: float | None = None
    cpu: float | None = None
    """CPU time a request."""
    memory: float | None = None
    requests: int
    """Of the model, in the window."""
    baseline_requests: int
    requests_per_second_per_pod: float
    baseline_requests_per_second_per_pod: float
    measured_at: Time


class Revision(ApiObject):
    """A revision that was served before."""

    digest: str
    replaced_at: Time
    reason: str


class CompressedModelStatus(ApiObject):
    """What is, as the operator last saw it."""

    observed_generation: int
    conditions: tuple[Condition, ...] = ()
    build: BuildStatus | None = None
    artifact: ArtifactStatus | None = None
    serving: ServingStatus | None = None
    kpis: KpiStatus | None = None
    savings: SavingsStatus | None = None
    history: tuple[Revision, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As the API server takes it; what is absent is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
