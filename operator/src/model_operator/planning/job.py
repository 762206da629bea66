"""The Job that builds a recipe, and the record of what it gave: the objects that models share. Pure."""

from dataclasses import dataclass
from typing import Any

from model_artifact.recipe import Recipe
from model_artifact.summary import ArtifactSummary, format_document
from model_operator import names
from model_operator.api.v1alpha1 import Build, CompressedModel, CompressedModelSpec
from model_operator.observation import BuildAttempt
from model_operator.planning.drift import hash_object
from model_operator.planning.inputs import CLAIMS_VARIABLE, render_inputs
from model_operator.planning.ownership import render_owner
from model_operator.planning.pod import Amounts, render_container, render_pod, render_resources
from model_operator.planning.signing import Signing, render_signing_key
from model_operator.planning.store import StoreAccess, choose_store, render_access
from model_operator.settings import Settings

DATA_FOLDER = "/data"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
SUMMARY_KEY = "summary.json"
_HASH_DIGITS = 8
_RECIPE_LABEL_DIGITS = 32

# No limit on CPU: a build may use what nobody else asks for.
DEFAULT_RESOURCES: Amounts = {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "6Gi"}}


def hash_build(recipe: Recipe, spec: CompressedModelSpec, settings: Settings) -> str:
    """Eight digits that change with everything that may change how a build ends.

    A failed one is then tried anew, but not where the image alone has changed (`is_same_build`).
    """
    return hash_object([_render_job_spec(recipe, spec, settings), spec.build.queue_name])[:_HASH_DIGITS]


def is_same_build(attempt: BuildAttempt, recipe: Recipe, spec: CompressedModelSpec, settings: Settings) -> bool:
    """Whether the attempt was made with these settings, whatever its image: a release brings another one for all."""
    stated = settings.model_copy(update={"builder_image": attempt.image}) if attempt.image else settings
    return attempt.build_hash in {hash_build(recipe, spec, settings), hash_build(recipe, spec, stated)}


def render_job(model: CompressedModel, uid: str, recipe: Recipe, settings: Settings, attempt: int) -> dict[str, Any]:
    """The Job of one attempt (from 0), owned by this model and by those that join later."""
    build = model.spec.build
    build_hash = hash_build(recipe, model.spec, settings)
    labels = {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_COMPONENT: names.COMPONENT_BUILD,
        names.LABEL_RECIPE: recipe_label(recipe.digest),
        names.LABEL_BUILD: build_hash,
    }
    annotations = {names.ANNOTATION_ATTEMPT: str(attempt), names.ANNOTATION_RECIPE_DIGEST: recipe.digest}
    spec = _render_job_spec(recipe, model.spec, settings)
    template = {**spec["template"], "metadata": {"labels": labels, "annotations": annotations}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": names.build_job_name(recipe.digest, build_hash, attempt),
            "namespace": model.metadata.namespace,
            "labels": labels | ({QUEUE_LABEL: build.queue_name} if build.queue_name else {}),
            "annotations": annotations | {names.ANNOTATION_STORE: choose_store(model.spec, settings)},
            "ownerReferences": [render_owner(model, uid)],
        },
        "spec": {**spec, "template": template},
    }


def render_record(
    model: CompressedModel, uid: str, recipe_digest: str, summary: ArtifactSummary, store: str
) -> dict[str, Any]:
    """The immutable ConfigMap by which a recipe is never built again."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.record_name(recipe_digest),
            "namespace": model.metadata.namespace,
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_RECIPE: recipe_label(recipe_digest)},
            "annotations": {names.ANNOTATION_RECIPE_DIGEST: recipe_digest, names.ANNOTATION_STORE: store},
            "ownerReferences": [render_owner(model, uid)],
        },
        "immutable": True,
        "data": {SUMMARY_KEY: format_document(summary)},
    }


def recipe_label(recipe_digest: str) -> str:
    """The value of LABEL_RECIPE."""
    return names.short_digest(recipe_digest, _RECIPE_LABEL_DIGITS)


@dataclass(frozen=True)
class _Needs:
    """What a build's container is given beside its recipe."""

    store: StoreAccess
    data: StoreAccess
    inputs: StoreAccess
    signing: Signing

    @property
    def accesses(self) -> tuple[StoreAccess, ...]:
        """In the order of the pod's volumes."""
        return self.store, self.data, self.inputs


def _plan_needs(recipe: Recipe, spec: CompressedModelSpec, settings: Settings) -> _Needs:
    store = render_access(choose_store(spec, settings), settings, read_only=False)
    data = _render_data(recipe, settings)
    claims = [(each["persistentVolumeClaim"]["claimName"], each["name"]) for each in (*store.volumes, *data.volumes)]
    return _Needs(store, data, render_inputs(spec, settings, dict(reversed(claims))), render_signing_key(settings))


def _render_data(recipe: Recipe, settings: Settings) -> StoreAccess:
    """The claim with the known data sets, where there is one and the recipe names one of them."""
    claim = settings.data_claim_name
    if not claim or recipe.training.dataset is None:
        return StoreAccess("")
    return StoreAccess(
        DATA_FOLDER,
        mounts=({"name": "data", "mountPath": DATA_FOLDER, "readOnly": True},),
        volumes=({"name": "data", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}},),
    )


def _render_job_spec(recipe: Recipe, spec: CompressedModelSpec, settings: Settings) -> dict[str, Any]:
    """The Job's spec, equal for every attempt; retries are further Jobs, so that each keeps its own story."""
    build, needs = spec.build, _plan_needs(recipe, spec, settings)
    return {
        "backoffLimit": 0,
        "activeDeadlineSeconds": build.timeout_seconds,
        "podFailurePolicy": {
            # A drained node is nobody's fault: the Job makes another pod.
            "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
        },
        **({"suspend": True} if build.queue_name else {}),
        "template": {
            "spec": {
                **render_pod(build, settings),
                **({"priorityClassName": build.priority_class_name} if build.priority_class_name else {}),
                "restartPolicy": "Never",
                "containers": [_render_build_container(recipe, build, settings, needs)],
                "volumes": [
                    *(volume for access in needs.accesses for volume in access.volumes),
                    *needs.signing.volumes,
                    {"name": "tmp", "emptyDir": {}},
                ],
            }
        },
    }


def _render_build_container(recipe: Recipe, build: Build, settings: Settings, needs: _Needs) -> dict[str, Any]:
    places = {"MODELPRESS_DATA": needs.data.place, CLAIMS_VARIABLE: needs.inputs.place}
    environment_from = needs.store.environment_from or needs.inputs.environment_from
    return {
        **render_container(
            names.BUILD_CONTAINER,
            settings.builder_image,
            settings,
            render_resources(build.resources, DEFAULT_RESOURCES),
        ),
        "command": ["model-builder-job"],
        "env": [
            {"name": "MODELPRESS_RECIPE", "value": recipe.canonical_json()},
            {"name": "MODELPRESS_STORE", "value": needs.store.place},
            *({"name": name, "value": place} for name, place in places.items() if place),
            *needs.signing.environment,
        ],
        **({"envFrom": list(environment_from)} if environment_from else {}),
        "volumeMounts": [
            *(mount for access in needs.accesses for mount in access.mounts),
            *needs.signing.mounts,
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  the container's own, an emptyDir
        ],
    }
