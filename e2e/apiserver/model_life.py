# ruff: noqa: S101 - part of the tests beside it
"""A full life of models, played from beginning to end, and what stands in its namespace in a form that compares."""

import json
import re
from typing import Any

from cluster.client import wait_until
from direct_cluster import DirectCluster
from operator_play import SUMMARY, training_model

MANAGED = "app.kubernetes.io/managed-by=modelpress"
APPLIED = "modelpress.dev/applied"
KINDS = ("cmod", "deployment", "service", "pdb", "hpa", "job", "configmap")
PATIENCE_SECONDS = 120
_TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_BY_THE_WAY = ("Ready", "NotReady")
_COUNTED = ("Build", "RolledOut")
_OF_ONE_CLUSTER = ("clusterIP", "clusterIPs")
_OF_THE_SERVER = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink")


class Life:
    """What users, kubelets and controllers do to the models of one namespace; each step waits for what it needs.

    Attributes:
        patience_seconds: how long each waits at most.
    """

    def __init__(self, cluster: DirectCluster) -> None:
        """Begin nothing yet."""
        self.cluster = cluster
        self.patience_seconds = PATIENCE_SECONDS

    def live(self) -> None:
        """From nothing to two models that have been built, served, scaled, changed, changed back and suspended."""
        self.begin()
        self.change()
        self.change_back()
        self.suspend()
        self.wait_until_settled()

    def begin(self) -> None:
        """A model with an autoscaler is built and served."""
        self.cluster.make_claim()
        self.cluster.make(training_model(autoscaling={"minReplicas": 1, "maxReplicas": 4}))
        self.build(1)
        self.roll_out("small", "aaaaaaaaaa")

    def change(self) -> None:
        """Another recipe, given up while it is built for a third one, which is built and rolled out.

        The autoscaler goes and leaves replicas behind.
        """
        self.cluster.patch("cmod", "small", {"spec": {"compression": {"bits": 2}, "autoscaling": None, "replicas": 3}})
        self.wait(lambda: self.cluster.read("hpa", "small"), lambda found: found is None, "no autoscaler")
        self.wait(self._replicas, lambda count: count == 3, "three replicas")
        unwanted = self.start_build(2)
        self.cluster.patch("cmod", "small", {"spec": {"compression": {"bits": 4}}})
        self.wait(lambda: self.cluster.read("job", unwanted), lambda found: found is None, "no unwanted build")
        self.build(2)
        self.roll_out("small", "bbbbbbbbbb", "aaaaaaaaaa")

    def change_back(self) -> None:
        """The first recipe is rolled out again without a build, and another model asks for it too."""
        self.cluster.patch("cmod", "small", {"spec": {"compression": {"bits": 8}}})
        self.roll_out("small", "cccccccccc", "bbbbbbbbbb")
        self.cluster.make(training_model("twin", baseline={"name": "small"}))
        self.roll_out("twin", "dddddddddd")

    def suspend(self) -> None:
        """A model is suspended, changed, and goes on."""
        self.cluster.patch("cmod", "twin", {"spec": {"suspend": True, "replicas": 2}})
        self.cluster.wait_for("twin", self.patience_seconds, Ready="False/Suspended")
        self.cluster.patch("cmod", "twin", {"spec": {"suspend": False}})
        self.wait(lambda: self._replicas("twin"), lambda count: count == 2, "two replicas")
        self.cluster.serve("twin", "dddddddddd")
        self.wait_ready("twin")

    def start_build(self, count: int) -> str:
        """The newest of so many builds begins; its Job's name."""
        job = max(self.cluster.wait_for_jobs(count, self.patience_seconds), key=_age)
        self.cluster.start_build(job)
        name = str(job["metadata"]["name"])
        self.wait(self._told_build, lambda told: told == (name, "False/Building"), f"{name} is told to run")
        return name

    def build(self, count: int) -> None:
        """The newest of so many builds runs to its good end."""
        name = self.start_build(count)
        digits = f"{count:02x}" * 32
        summary = {**SUMMARY, "digest": f"sha256:{digits}", "path": f"artifacts/{digits}.zip"}
        self.cluster.end_build({"metadata": {"name": name}}, json.dumps(summary))
        self.cluster.wait_for("small", self.patience_seconds, ArtifactReady="True/Built")

    def roll_out(self, name: str, template_hash: str, before: str = "") -> None:
        """The Deployment's pods become those of its newest template."""
        self.wait(lambda: self._wants(name, before), bool, f"a new template of {name}")
        if before:
            for pod in self.cluster.list("pod", f"pod-template-hash={before}"):
                self.cluster.delete("pod", pod["metadata"]["name"])
        self.cluster.serve(name, template_hash)
        self.wait_ready(name)

    def wait_ready(self, name: str) -> None:
        """The model says of its spec as it is now that it is served."""

        def told() -> tuple[bool, str]:
            body = self.cluster.read("cmod", name) or {}
            status = body.get("status", {})
            return status.get("observedGeneration") == body["metadata"]["generation"], self.cluster.conditions(
                name
            ).get("Ready", "")

        self.wait(told, lambda seen: seen == (True, "True/Serving"), f"{name} is served")

    def wait_until_settled(self) -> None:
        """Nothing of what is managed changes any more."""
        self.wait(self.versions, lambda seen: seen == self.versions(), "an end of the writes")

    def wait_until_told(self, milestones: list[list[str]]) -> None:
        """These have been told, also those that the API server did not take at first."""

        def missing() -> list[list[str]]:
            told = self.snapshot()["events"]
            return [each for each in milestones if told.count(each) < milestones.count(each)]

        self.wait(missing, lambda left: left == [], "every milestone told")

    def versions(self) -> dict[str, str]:
        """The versions of all that is managed."""
        return {
            f"{kind}/{each['metadata']['name']}": each["metadata"]["resourceVersion"]
            for kind in KINDS
            for each in self.cluster.list(kind, "" if kind == "cmod" else MANAGED)
        }

    def wait(self, observe: Any, is_enough: Any, what: str) -> None:
        """Wait for it; the failure tells the last observation."""
        wait_until(observe, is_enough, self.patience_seconds, what)

    def snapshot(self) -> dict[str, Any]:
        """All that the operator made or wrote, without what no two lives have in common."""
        bodies = [(kind, body) for kind in KINDS for body in self.cluster.list(kind, "" if kind == "cmod" else MANAGED)]
        names = {body["metadata"]["uid"]: f"uid of {kind} {body['metadata']['name']}" for kind, body in bodies}
        names[self.cluster.namespace] = "the namespace"
        found = {
            f"{kind}/{body['metadata']['name']}": normalise(
                {**body, "status": body.get("status") if kind == "cmod" else None}, names
            )
            for kind, body in bodies
        }
        return found | {"events": self._told(names)}

    def _told(self, names: dict[str, str]) -> list[list[str]]:
        """Reason, object and words of the milestones that were told; of builds and rollouts as often as they were.

        How often a model is ready in between two changes, and says so, goes by who was faster.
        """
        events = [normalise(each, names) for each in self.cluster.list("event") if _is_ours(each)]
        told = [(each["reason"], each["involvedObject"]["name"], each["message"]) for each in events]
        counted = [each for each in told if each[0].startswith(_COUNTED)]
        others = {each for each in told if not each[0].startswith(_COUNTED)}
        return [list(each) for each in sorted([*counted, *others]) if each[0] not in _BY_THE_WAY]

    def _told_build(self) -> tuple[str, str]:
        """The Job that the status tells of, and what it says of the artifact."""
        status = (self.cluster.read("cmod", "small") or {}).get("status", {})
        return status.get("build", {}).get("job", ""), self.cluster.conditions("small").get("ArtifactReady", "")

    def _replicas(self, name: str = "small") -> int:
        found = self.cluster.read("deployment", name)
        return found["spec"]["replicas"] if found else 0

    def _wants(self, name: str, before: str) -> bool:
        """Whether the Deployment's template is another than the one that the pod of `before` was made from."""
        deployment = self.cluster.read("deployment", name)
        if deployment is None:
            return False
        if not before:
            return True
        pod = self.cluster.read("pod", f"{name}-{before}-abcde")
        assert pod is not None
        wanted = deployment["spec"]["template"]["metadata"]["annotations"]
        return any(pod["metadata"]["annotations"].get(key) != value for key, value in wanted.items())


def normalise(body: dict[str, Any], names: dict[str, str]) -> Any:
    """The object without what the API server adds, its times, and with names in place of identities."""
    metadata = {key: value for key, value in body["metadata"].items() if key not in _OF_THE_SERVER}
    if APPLIED in metadata.get("annotations", {}):
        metadata["annotations"] = {**metadata["annotations"], APPLIED: "a hash of the object with its identities"}
    text = _TIMES.sub("a time", json.dumps({**body, "metadata": metadata}))
    for identity, name in names.items():
        text = text.replace(identity, name)
    found = json.loads(text)
    found["metadata"].get("ownerReferences", []).sort(key=lambda owner: owner["uid"])
    for field in _OF_ONE_CLUSTER:
        found.get("spec", {}).pop(field, None)
    return found


def _is_ours(event: dict[str, Any]) -> bool:
    return "modelpress" in f"{event.get('reportingComponent')} {event.get('source')}"


def _age(job: dict[str, Any]) -> tuple[str, int]:
    return job["metadata"]["creationTimestamp"], int(job["metadata"]["resourceVersion"])
