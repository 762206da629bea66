"""`modelpress-bench density`: how many models of one configuration become Ready and answer on a node of a stated size.

A ResourceQuota in the models' namespace stands for the node. Each model requests what it needs: the working set that
one of its kind was seen to have after some requests, and a headroom.
"""

import copy
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from cluster.client import wait_until
from cluster.processes import ClusterError

from load.answering import OK, Asker
from load.configurations import Limits, Planned, render_alone
from load.deploying import Scene, Tell, count_threads, deploy, format_weights, require_reach
from load.flask_pod import render_flask
from load.journal import Journal
from load.kpis import parse_answer
from load.node_cap import (
    MEBIBYTE,
    QUOTA,
    DensityPlan,
    Standing,
    add_requests,
    compare,
    find_pod_requests,
    is_cut_short,
    is_enforced,
    judge_standing,
    list_missed,
    plan_memory_request,
    plan_names,
    render_entry,
    render_quota,
    require_alike,
)
from load.trying import Tries
from model_operator import names

GONE_SECONDS = 300.0
QUOTA_SECONDS = 60.0
ANSWER_SECONDS = 30.0
_BETWEEN_LOOKS_SECONDS = 1.0


@dataclass
class Density:
    """The counts on a cluster.

    Attributes:
        scene: where.
        plan: what.
        journal: what is known.
        bodies: folder of the network's requests.
        tell: is given each line of progress.
    """

    scene: Scene
    plan: DensityPlan
    journal: Journal
    bodies: Path
    tell: Tell

    def conduct(self) -> list[str]:
        """Do what is left of it; what was to be reached and was not, in words.

        Raises:
            ClusterError: when a configuration cannot be served, or nothing can be counted any more.
            ResultsError: when what is known was counted on another node.
        """
        self.forget_cut_short()
        require_alike(self.plan, self.journal.results.density)
        known = {entry["name"] for entry in self.journal.results.density}
        left = [each for each in self.plan.kinds() if each.name not in known]
        self.tell(
            f"{len(self.plan.kinds())} configurations, {len(self.plan.kinds()) - len(left)} of them known already"
        )
        tries = Tries(self.journal.add_trouble, self.tell, self.plan.error_seconds)
        if left:
            deploy(self.scene, self.plan.kinds(), self.plan.limits, "60s", tell=self.tell,
                   flask_server=self.plan.flask_server)  # fmt: skip
            require_reach(self.scene, left[0])
            with Asker(self.scene.enter) as asker:
                for each in left:
                    entry = tries.attempt(f"models a node, {each.name}", partial(self.count, each, asker))
                    if entry is not None:
                        others = self.journal.results.density
                        self.journal.put_density(compare(self.plan, [*others, entry]))
        if not self.journal.results.runs and not tries.left_out:
            self.journal.finish()
        return list_missed(self.plan, self.journal.results.density, tries.left_out)

    def forget_cut_short(self) -> None:
        """Take out the counts of an older file that ended before the node was full, and what they were judged by."""
        known = self.journal.results.density
        whole = [entry for entry in known if not is_cut_short(entry)]
        if len(whole) < len(known):
            self.journal.put_density(compare(self.plan, whole))

    def count(self, planned: Planned, asker: Asker) -> dict[str, Any]:
        """How many of one configuration answer, as the results tell it; none of them is left afterwards.

        Raises:
            ClusterError: when what one needs cannot be told, or one is neither Ready nor refused in time.
        """
        self.clear(planned)
        used = self.measure(planned, asker)
        limits = replace(
            self.plan.limits,
            cpu_request=self.plan.cpu_request,
            memory_request=plan_memory_request(used, self.plan.headroom_percent),
        )
        self.tell(f"{planned.name}: {used / MEBIBYTE:.0f} MiB working set; each requests {limits.memory_request}")
        source = self.read_source(planned)
        try:
            self.cap()
            found, facts = self.fill(planned, limits, source, asker)
        finally:
            self.clear(planned)
        facts |= {"configuration": planned.name, "weights": source["weights"], "memoryRequest": limits.memory_request}
        entry = render_entry(self.plan, facts | {"workingSetMebibytes": round(used / MEBIBYTE, 1)}, found)
        self.tell(format_entry(entry))
        return entry

    def measure(self, planned: Planned, asker: Asker) -> float:
        """The working set of one that has answered some requests, in bytes.

        Raises:
            ClusterError: when it does not answer, or Prometheus does not know.
        """
        for _ in range(self.plan.requests_before):
            answer = self.ask(asker, planned.name, self.read_addresses()[planned.name])
            if not answer:
                raise ClusterError(f"{planned.name} does not answer, so that what it needs cannot be measured")
        time.sleep(self.plan.settle_seconds)
        found = self.read_working_sets(f"{planned.name}-[a-z0-9]+-[a-z0-9]+")
        if not found:
            raise ClusterError(
                f"Prometheus tells no memory of {planned.name}: see that it scrapes the kubelet (docs/install.md)"
            )
        return max(found.values())

    def read_working_sets(self, pods: str) -> dict[str, float]:
        """The last working set of each server's pod whose name matches, in bytes."""
        matchers = f'namespace="{self.scene.namespace}",container="{names.SERVER_CONTAINER}",pod=~"{pods}"'
        query = f"max by (pod) (container_memory_working_set_bytes{{{matchers}}})"
        path = self.scene.prometheus.render_path(query, time.time())
        samples = parse_answer(self.scene.client.kubectl("get", "--raw", path))
        # for five minutes Prometheus goes on to tell of pods that have gone
        living = {pod["metadata"]["name"] for pod in self.scene.read("pods")["items"]}
        return {sample.labels["pod"]: sample.value for sample in samples if sample.labels["pod"] in living}

    def read_source(self, planned: Planned) -> dict[str, Any]:
        """The artifact that all of them serve, and its weights in words."""
        artifact = self.scene.read("cmod", planned.source)["status"]["artifact"]
        return {"artifact": {"uri": artifact["uri"], "digest": artifact["digest"]}, "weights": format_weights(artifact)}

    def cap(self) -> None:
        """Have the namespace hold the node's size and what stands there already."""
        standing = add_requests(self.scene.read("pods")["items"])
        self.scene.client.apply(render_quota(self.scene.namespace, self.plan.cap + standing))
        wait_until(lambda: self.scene.read("resourcequota", QUOTA), is_enforced, QUOTA_SECONDS, f"the quota {QUOTA}")

    def fill(
        self, planned: Planned, limits: Limits, source: Mapping[str, Any], asker: Asker
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Add models until one is refused, or there are the most that are tried: what was found, and facts of a pod.

        Raises:
            ClusterError: when one is neither Ready nor refused in time, which says nothing of the room.
        """
        applied: list[str] = []
        ready: list[str] = []
        standing: dict[str, Standing] = {}
        while len(applied) < self.plan.most and all(each.state == "ready" for each in standing.values()):
            more = plan_names(planned, len(applied) + 1, min(self.plan.batch, self.plan.most - len(applied)))
            self.apply(planned, more, limits, source)
            applied += more
            standing |= self.wait_for(more)
            self.require_settled(standing)
            ready = [name for name in applied if standing[name].state == "ready"]
            self.tell(f"{planned.name}: {len(ready)} of {len(applied)} Ready")
        stopped = next((each for each in standing.values() if each.state != "ready"), None)
        addresses = self.read_addresses()
        answered = [name for name in ready if self.ask(asker, name, addresses[name])]
        time.sleep(self.plan.settle_seconds)
        used = self.read_working_sets(f"{planned.name}-n[0-9]+-[a-z0-9]+-[a-z0-9]+")
        spec = self.scene.read("deployment", applied[0])["spec"]["template"]["spec"]
        found = {
            "applied": len(applied),
            "ready": len(ready),
            "answered": len(answered),
            "stoppedBy": "" if stopped is None else stopped.why,
            "usedMebibytes": round(sum(used.values()) / MEBIBYTE, 1) if len(used) >= len(ready) else None,
        }
        return found, {"podRequests": find_pod_requests(spec)}

    def apply(self, planned: Planned, more: Sequence[str], limits: Limits, source: Mapping[str, Any]) -> None:
        """Have these too."""
        if planned.kind == "flask":
            deployment = self.scene.read("deployment", planned.reference)
            items = [
                each
                for name in more
                for each in render_baseline(self.plan, name, self.scene.flask_image, deployment, limits)
            ]
        else:
            items = [render_alone(replace(planned, name=name), limits, source["artifact"]) for name in more]
        self.scene.apply(*items)

    def wait_for(self, wanted: Sequence[str]) -> dict[str, Standing]:
        """How these stand once each is Ready or refused, or the time is over."""
        deadline = time.monotonic() + self.plan.ready_seconds
        while True:
            found = self.read_standing(wanted)
            if all(each.state != "waiting" for each in found.values()) or time.monotonic() > deadline:
                return found
            time.sleep(_BETWEEN_LOOKS_SECONDS)

    def require_settled(self, standing: Mapping[str, Standing]) -> None:
        """Refuse to take a model that is late for one that there is no room for.

        Raises:
            ClusterError: naming the first that is neither Ready nor refused.
        """
        late = next((name for name, each in standing.items() if each.state == "waiting"), None)
        if late is not None:
            raise ClusterError(
                f"after {self.plan.ready_seconds:g} s {late} is neither Ready nor refused ({standing[late].why}): see"
                f" what holds it (kubectl describe pods -n {self.scene.namespace}), or give it a quieter machine"
            )

    def read_standing(self, wanted: Sequence[str]) -> dict[str, Standing]:
        """How these stand now."""
        deployments = {each["metadata"]["name"]: each for each in self.scene.read("deployments")["items"]}
        pods = self.scene.read("pods")["items"]
        return {
            name: judge_standing(
                deployments.get(name), [pod for pod in pods if pod["metadata"]["name"].startswith(f"{name}-")]
            )
            for name in wanted
        }

    def read_addresses(self) -> dict[str, str]:
        """Of the namespace's Services."""
        return {each["metadata"]["name"]: each["spec"]["clusterIP"] for each in self.scene.read("services")["items"]}

    def ask(self, asker: Asker, name: str, address: str) -> bool:
        """Whether the model answers a request."""
        url = f"http://{address}:{names.HTTP_PORT}/v1/models/{name}:predict"
        return asker.ask(url, self.bodies / "000.json", ANSWER_SECONDS).status == OK

    def clear(self, planned: Planned) -> None:
        """Take the numbered models away, those of a try that was killed too, and the quota."""
        client, namespace = self.scene.client, self.scene.namespace
        kinds = ("deployments", "services") if planned.kind == "flask" else ("cmod",)
        try:
            for kind in kinds:
                numbered = self.list_numbered(kind, planned)
                if numbered:
                    client.run("delete", kind, *numbered, "-n", namespace, "--ignore-not-found")
            what = f"the end of the pods of {planned.name}"
            wait_until(lambda: self.list_numbered("pods", planned), lambda seen: not seen, GONE_SECONDS, what)
        finally:
            # last, so that what was refused does not get the room of what goes
            client.run("delete", "resourcequota", QUOTA, "-n", namespace, "--ignore-not-found")

    def list_numbered(self, kind: str, planned: Planned) -> list[str]:
        """Names of the objects of that kind that belong to numbered models."""
        found = [each["metadata"]["name"] for each in self.scene.read(kind)["items"]]
        return [name for name in found if is_numbered(name, planned)]


def is_numbered(name: str, planned: Planned) -> bool:
    """Whether the name is that of a numbered model of this configuration, or of something of it."""
    return re.match(rf"{re.escape(planned.name)}-n[0-9]{{3}}(-|$)", name) is not None


def render_baseline(
    plan: DensityPlan, name: str, image: str, deployment: Mapping[str, Any], limits: Limits
) -> tuple[dict[str, Any], dict[str, Any]]:
    """One more Flask pod with its Service."""
    stated = copy.deepcopy(dict(deployment))
    stated["spec"]["template"]["spec"]["containers"][0]["resources"] = limits.render()
    return render_flask(name, image, stated, count_threads(limits.cpu), plan.flask_server)


def format_entry(entry: Mapping[str, Any]) -> str:
    """In one line."""
    least = "at least " if entry["atLeast"] else ""
    return (
        f"{entry['name']}: {least}{entry['models']} models answer on {entry['cap']} ({entry['podRequests']} a pod);"
        f" ended by {entry['stoppedBy']}"
    )
