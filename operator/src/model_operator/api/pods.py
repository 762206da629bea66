"""The API: what the pods of builds and of servers need, and where they run. Pure."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from model_operator.api import rules
from model_operator.api.api_object import ApiObject
from model_operator.api.rules import Quantity

_LARGEST_INT32 = 2**31 - 1

Amounts = Annotated[dict[str, Quantity], Field(max_length=16)]


class Resources(ApiObject):
    """Requests and limits of the container, as in a pod."""

    requests: Amounts = Field(default_factory=dict)
    """What the container is given at least, by resource (cpu, memory, nvidia.com/gpu, …)."""
    limits: Amounts = Field(default_factory=dict)
    """What the container may use at most, by resource."""


class Toleration(ApiObject):
    """A taint that pods tolerate, as in a pod."""

    key: Annotated[str, Field(max_length=316)] | None = None
    """Key of the taint; absent with operator Exists: every taint."""
    operator: Literal["Equal", "Exists"] | None = None
    """Equal (also when absent) compares value; Exists takes any."""
    value: Annotated[str, Field(max_length=63)] | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; absent: every effect."""
    toleration_seconds: int | None = None
    """How long a NoExecute taint is tolerated; absent: for ever."""


class Placement(ApiObject):
    """Where pods run and what they may use."""

    resources: Resources | None = None
    """Requests and limits of the container. What is stated of a resource, in either, replaces the operator's own choice
    for that resource, in both; docs/operations.md has those."""
    node_selector: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=32)] = Field(
        default_factory=dict
    )
    """Labels that the pods' nodes must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(strict=False, max_length=32)] = ()
    """Taints of nodes that the pods tolerate."""


class Store(ApiObject):
    """Where builds keep what they make."""

    uri: Annotated[
        str, Field(max_length=1024, json_schema_extra=rules.STORE_URI.schema), AfterValidator(rules.STORE_URI.check)
    ] = ""
    """A bucket, s3://BUCKET/PREFIX, or a claim, pvc://CLAIM; empty: the operator's setting."""


class Build(Placement):
    """How the model is built; nothing here changes the artifact."""

    priority_class_name: Annotated[str, Field(max_length=253)] = ""
    """PriorityClass of the build's pod; empty: the cluster's default."""
    queue_name: Annotated[str, Field(max_length=63)] = ""
    """Kueue's LocalQueue: the Job starts suspended and Kueue admits it. Empty: the Job starts at once."""
    timeout_seconds: Annotated[int, Field(ge=1, le=_LARGEST_INT32)] = 86_400
    """Longest time of one attempt."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """Further attempts after one that failed for a reason that may pass."""


class Serving(Placement):
    """How the model is served."""

    rules = (rules.ENGINE,)

    image: Annotated[str, Field(max_length=1024)] = ""
    """Image with TensorFlow Serving's command line; empty: the operator's setting."""
    engine: Literal["LiteRT", "OpenVINO"] | None = None
    """Runtime of modelpress-server; OpenVINO needs an image that holds it. Absent: the image's own choice (LiteRT)."""
    precision: Literal["Auto", "Float32", "Int8"] = "Auto"
    """Weights that answer: Float32, those of the SavedModel, which TensorFlow Serving alone serves, or Int8, the codes
    in model.tflite. Auto: what the image prefers, TensorFlow Serving the SavedModel, modelpress-server model.tflite."""
