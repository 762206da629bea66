"""What the commands know of one model: the objects as kubectl gives them, and what is read off them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kubectl_cmod.kubectl import Kubectl
from model_operator import names

Object = Mapping[str, Any]

RESOURCE: Final = f"{names.PLURAL}.{names.GROUP}"
_RECIPE_DIGITS: Final = 32


@dataclass(frozen=True)
class ModelFacts:
    """A model, its pods, and what builds or has built it."""

    body: Object
    server_pods: tuple[Object, ...] = ()
    """Oldest first, as are all of these."""
    jobs: tuple[Object, ...] = ()
    build_pods: tuple[Object, ...] = ()
    kept_logs: tuple[Object, ...] = ()
    """ConfigMaps with the ends of failed builds' logs."""

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.body["metadata"]["name"])

    @property
    def full_name(self) -> str:
        """`namespace/name`."""
        return f"{self.body['metadata']['namespace']}/{self.name}"

    def part(self, name: str) -> Object:
        """A part of the status; empty where there is none."""
        found: Object = (self.body.get("status") or {}).get(name) or {}
        return found

    def condition(self, kind: str) -> Object:
        """A condition; empty where there is none."""
        return find_condition(self.body, kind)


def find_condition(body: Object, kind: str) -> Object:
    """The condition of an object; empty where there is none."""
    conditions = (body.get("status") or {}).get("conditions") or ()
    found: Object = next((each for each in conditions if each.get("type") == kind), {})
    return found


def find_compression(body: Object) -> Object:
    """What the spec says of it, or the artifact that the spec names; empty where neither does."""
    found: Object = next(
        (each for part in ("spec", "status") if (each := (body.get(part) or {}).get("compression"))), {}
    )
    return found


def read_model(kubectl: Kubectl, name: str) -> ModelFacts:
    """The model and all that belongs to it.

    Raises:
        PluginError: in kubectl's words, such as that there is none of that name.
    """
    body = kubectl.read(RESOURCE, name)
    server = f"{names.LABEL_MODEL}={name},{names.LABEL_COMPONENT}={names.COMPONENT_SERVER}"
    questions = [("pods", f"--selector={server}")]
    digest = ((body.get("status") or {}).get("build") or {}).get("recipeDigest")
    if digest:
        recipe = f"{names.LABEL_RECIPE}={names.short_digest(digest, _RECIPE_DIGITS)}"
        questions.append(("jobs,pods,configmaps", f"--selector={recipe}"))
    pods, *others = map(_by_age, kubectl.read_lists(*questions))
    shared = others[0] if others else ()
    return ModelFacts(
        body,
        pods,
        jobs=_of_kind(shared, "Job"),
        build_pods=_of_kind(shared, "Pod"),
        kept_logs=tuple(each for each in _of_kind(shared, "ConfigMap") if names.LOG_KEY in (each.get("data") or {})),
    )


def _by_age(items: tuple[Object, ...]) -> tuple[Object, ...]:
    return tuple(
        sorted(items, key=lambda each: (str(each["metadata"].get("creationTimestamp")), each["metadata"]["name"]))
    )


def _of_kind(items: tuple[Object, ...], kind: str) -> tuple[Object, ...]:
    return tuple(each for each in items if each.get("kind") == kind)
