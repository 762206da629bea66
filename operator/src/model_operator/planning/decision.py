"""The outcome of planning: frozen data that apply.py carries out and tests compare whole."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Object = Mapping[str, Any]

Kind = Literal["Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Job", "ConfigMap"]


@dataclass(frozen=True)
class Reference:
    """An object in the model's namespace."""

    kind: Kind
    name: str


@dataclass(frozen=True)
class Plan:
    """One step from what is towards what is wanted."""

    create: tuple[Object, ...] = ()
    """Shared objects that are made once and never applied again (build Jobs, records); one that exists is left."""
    adopt: tuple[Reference, ...] = ()
    """Shared objects that another model made and that this one needs too: it becomes a further owner."""
    apply: tuple[Object, ...] = ()
    """The model's own objects that differ from what is wanted, for server-side apply, in order."""
    scale: int | None = None
    """Replicas to give the Deployment through its scale subresource; None leaves them alone."""
    delete: tuple[Reference, ...] = ()
    """The model's own objects that are no longer wanted."""
    leave: tuple[Reference, ...] = ()
    """Builds that the model asks for no longer: it is taken off their owners, and who is the last ends them."""
    status: Mapping[str, Any] | None = None
    """The whole status to write; None when the one that stands is still right."""
    reasons: tuple[str, ...] = ()
    """Why, in sentences for the log."""
    requeue_after_seconds: float = 60.0


@dataclass(frozen=True)
class Refusal:
    """An object of a plan that the API server did not take."""

    kind: str
    name: str
    message: str
    """The API server's words."""
    invalid: bool
    """True for a 422 or 400: the same object would be refused again."""
    again_in_seconds: float = field(default=10.0, compare=False)
    """When the same write is tried again; sooner where the model or the object changes."""
