"""The HorizontalPodAutoscaler of a model. Pure."""

from typing import Any

from model_operator.api.v1alpha1 import Autoscaling, CompressedModel
from model_operator.planning.ownership import render_own_metadata


def render_autoscaler(model: CompressedModel, uid: str, autoscaling: Autoscaling) -> dict[str, Any]:
    """The HorizontalPodAutoscaler (autoscaling/v2) over the model's Deployment."""
    cpu = {
        "type": "Resource",
        "resource": {
            "name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": autoscaling.target_cpu_utilization_percentage},
        },
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": render_own_metadata(model, uid),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": model.metadata.name},
            "minReplicas": autoscaling.min_replicas,
            "maxReplicas": autoscaling.max_replicas,
            "metrics": list(autoscaling.metrics) or [cpu],
            **({"behavior": autoscaling.behavior} if autoscaling.behavior else {}),
        },
    }
