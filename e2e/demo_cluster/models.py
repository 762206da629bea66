"""The demo's models: which examples, how they stand, and what is told of them. Pure but for reading the examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
STEPS_OF_A_SHAPE = 4
"""Training steps of each VGG-16 in the demo: enough to see that it trains; hours would make it good."""

Status = Mapping[str, Any]


@dataclass(frozen=True)
class Example:
    """A file of examples/, and what it gets here.

    Attributes:
        name: of the file and the model.
        maximum_steps: budget of its training; None: all that the file asks for, 0: no training.
        artifact: what was trained before, to be served in place of a training.
    """

    name: str
    maximum_steps: int | None = None
    artifact: Path | None = None

    def read_manifest(self, placed: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The object as it is applied; `placed` says where the store has the artifact."""
        manifest: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{self.name}.yaml").read_text())
        if placed:
            manifest["spec"]["source"] = {"artifact": dict(placed)}
            manifest["spec"].pop("compression")  # it is the artifact's
            return manifest
        training = manifest["spec"]["source"]["training"]
        if self.maximum_steps == 0:
            training["epochs"] = 0
        elif self.maximum_steps is not None:
            training["maximumSteps"] = self.maximum_steps
        return manifest

    def describe(self) -> str:
        """What is applied, in one line."""
        if self.artifact:
            return f"examples/{self.name}.yaml, trained before: {self.artifact.relative_to(EXAMPLES.parent)}"
        budget = f", with a training budget of {self.maximum_steps} steps" if self.maximum_steps is not None else ""
        return f"examples/{self.name}.yaml{budget}"


def choose_examples(has_cifar10: bool) -> tuple[Example, ...]:
    """Baselines first. Without CIFAR-10 the digits stand in for the CNN, and VGG-16 keeps its initial weights.

    The compressed VGG-16 is the trained one of examples/artifacts, where that is.
    """
    pair = ("cnn-a0-b32", "cnn-a125-b8") if has_cifar10 else ("digits-a0-b32", "digits-a125-b8")
    steps, trained = STEPS_OF_A_SHAPE if has_cifar10 else 0, EXAMPLES / "artifacts" / "vgg16-a125-b8-c50.zip"
    name = "vgg16-strong-a125-b8-c50"
    compressed = Example(name, artifact=trained) if trained.exists() else Example(name, steps)
    return (*(Example(name) for name in pair), Example("vgg16-a0-b32", steps), compressed)


def condition(status: Status, kind: str) -> Mapping[str, Any]:
    """One condition; empty when it is not there."""
    return next((each for each in status.get("conditions", ()) if each["type"] == kind), {})


def is_ready(model: Mapping[str, Any]) -> bool:
    """Ready, and of the generation that was asked for."""
    status = model.get("status", {})
    observed = status.get("observedGeneration") == model["metadata"]["generation"]
    return bool(observed and condition(status, "Ready").get("status") == "True")


def is_stalled(model: Mapping[str, Any]) -> bool:
    """Whether nothing goes on without a change."""
    return condition(model.get("status", {}), "Stalled").get("status") == "True"


def format_progress(model: Mapping[str, Any]) -> str:
    """How a model stands, in one line that changes only when something happened."""
    status = model.get("status", {})
    name = model["metadata"]["name"]
    if is_ready(model):
        return f"{name}: Ready"
    build = status.get("build", {})
    artifact = condition(status, "ArtifactReady")
    if artifact.get("status") != "True" and "phase" in build:
        return f"{name}: {_format_build(build)}"
    current = condition(status, "Ready") or {"reason": "Seen", "message": "waiting for the operator"}
    return f"{name}: {current['reason']}: {current['message']}"


def _format_build(build: Status) -> str:
    parts = [build["phase"]]
    if "epoch" in build and "epochs" in build:
        parts.append(f"epoch {build['epoch']}/{build['epochs']}")
    if "stepsPerSecond" in build:
        parts.append(f"{build['stepsPerSecond']} steps/s")
    if "etaSeconds" in build:
        parts.append(f"ETA {build['etaSeconds'] // 60}:{build['etaSeconds'] % 60:02}")
    return ", ".join(parts)


SAVINGS_HEADER = (
    "model",
    "against",
    "size",
    "p95 latency",
    "CPU a request",
    "memory",
    "quality",
    "requests/s a pod",
    "window",
)


def format_savings(models: Sequence[Mapping[str, Any]]) -> str:
    """What compression saved, as the operator measured it; where it has no savings, why."""
    compared = [model for model in models if model["spec"].get("baseline")]
    rows = [SAVINGS_HEADER, *(_savings_cells(model) for model in compared)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(SAVINGS_HEADER))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    notes = [
        f"{model['metadata']['name']}: no savings ({found.get('reason')}): {found.get('message')}"
        for model in compared
        if "savings" not in model.get("status", {})
        for found in [condition(model.get("status", {}), "Compared")]
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], *notes])


def _savings_cells(model: Mapping[str, Any]) -> tuple[str, ...]:
    status = model.get("status", {})
    savings, artifact = status.get("savings", {}), status.get("artifact", {})
    quality = artifact.get("quality", {})
    trained = artifact.get("trained", False)
    rates = (savings.get("requestsPerSecondPerPod"), savings.get("baselineRequestsPerSecondPerPod"))
    return (
        model["metadata"]["name"],
        model["spec"]["baseline"]["name"],
        _ratio(artifact.get("ratio")),
        _ratio(savings.get("latency")),
        _ratio(savings.get("cpu")),
        _ratio(savings.get("memory")),
        _quality(quality) if trained and "value" in quality else "untrained",
        f"{rates[0]:g} and {rates[1]:g}" if None not in rates else "-",
        status.get("kpis", {}).get("window", "-"),
    )


def _quality(quality: Status) -> str:
    """The metric's value, and what compression changed of it; that is not known where the baseline has none."""
    changed = f" ({-quality['loss']:+.3g})" if "loss" in quality else ""
    return f"{quality['value']:.3g}{changed}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:g}x"
