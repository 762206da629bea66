"""`modelpress-bench startup`: one pod more of a configuration, from its creation to Ready and to its first answer.

The artifacts lie in an S3 store on a host of its own, behind a link of 100 Mbit/s or an unshaped one. The image is on
the node already, since one pod of each configuration runs there before.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from cluster.client import wait_until
from cluster.processes import ClusterError

from load.answering import OK, Asker
from load.configurations import Planned, render_alone
from load.deploying import (
    Scene,
    Tell,
    deploy,
    deploy_flask,
    format_weights,
    wait_until_ready,
)
from load.journal import MOST_TRIES as MOST_VOID
from load.journal import Journal
from load.pod_times import PodTimes, PodWatch
from load.results import require_facts
from load.start_plan import (
    Link,
    Start,
    StartupPlan,
    compare,
    list_left,
    list_missed,
    render_entry,
    render_start,
    require_alike,
    tell_name,
    tell_server,
)
from load.store_link import StoreLink
from load.trying import Tries
from model_operator import names

STORE_SECRET = "modelpress-load-store"  # noqa: S105 - a Secret's name
GONE_SECONDS = 120.0
FIRST_ANSWER_SECONDS = 60.0


@dataclass
class Startup:
    """The starts on the embedded node.

    Attributes:
        scene: where.
        plan: what.
        journal: what is known.
        link: to the store.
        bodies: folder of the network's requests.
        tell: is given each line of progress.
    """

    scene: Scene
    plan: StartupPlan
    journal: Journal
    link: StoreLink
    bodies: Path
    tell: Tell
    _facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    _speeds: dict[str, float] = field(default_factory=dict)

    def conduct(self) -> list[str]:
        """Do what is left of it; what was to be reached and was not, in words.

        Raises:
            ClusterError: when a configuration cannot be served, or nothing can be started any more.
            ResultsError: when what is known is of other weights, or of another server before Flask.
        """
        require_alike(self.plan, self.journal.results.startup)
        left = self.list_left()
        self.tell(f"{len(self.plan.order())} starts, {len(self.plan.order()) - len(left)} of them known already")
        tries = Tries(self.journal.add_trouble, self.tell, self.plan.error_seconds)
        if left:
            try:
                self.prepare()
                self.start_all(left, tries)
            finally:
                self.clear()
        if not self.journal.results.runs and not tries.left_out:
            self.journal.finish()
        return list_missed(self.plan, self.journal.results.startup, tries.left_out)

    def list_left(self) -> list[Start]:
        """The starts that are not known yet, in their order."""
        return list_left(self.plan.order(), self.journal.results.startup, MOST_VOID)

    def start_all(self, left: list[Start], tries: Tries) -> None:
        """Each of them; a void one once more."""
        planned = {tell_name(each): each for each in self.plan.configurations()}
        with Asker(self.scene.enter) as asker:
            for start in left:
                while start in self.list_left():
                    made = tries.attempt(start.name, partial(self.start, start, planned[start.configuration], asker))
                    if made is None:
                        break
                    self.note(start, made)

    def prepare(self) -> None:
        """Have one pod of each, whose artifact comes by the link."""
        plan, copies = self.plan, [each for each in self.plan.configurations() if each.kind != "flask"]
        self.measure_links()
        sources = [replace(each, name=each.source) for each in copies]
        deploy(self.scene, sources, plan.limits, "60s", tell=self.tell)
        self.provide_secret()
        for each in copies:
            self.scene.apply(render_alone(each, plan.limits, self.provide(each)))
        wait_until_ready(self.scene, [each.name for each in copies], self.tell)
        for each in plan.configurations():
            if each.kind == "flask":
                # Its init container is that of the float32 model behind the link.
                plain, server = copies[0].name, plan.flask_server
                deploy_flask(self.scene, each, plan.limits, server, self.tell, weights_of=plain)
            self.note_facts(each)

    def measure_links(self) -> None:
        """What a program gets of the store by each link; the last one stays unshaped."""
        for link in self.plan.links:
            self.link.shape(link.megabits_per_second)
            self._speeds[link.name] = self.link.measure()
            self.tell(f"a program in the node gets {self._speeds[link.name]:g} Mbit/s by {link.name}")

    def provide_secret(self) -> None:
        """The environment by which pods reach the store."""
        metadata = {"name": STORE_SECRET, "namespace": self.scene.namespace}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": self.link.environment}
        self.scene.client.apply(secret)

    def provide(self, planned: Planned) -> dict[str, str]:
        """The configuration's artifact in the bucket, as a source.

        Raises:
            ClusterError: when it is not in the store's folder on this machine.
        """
        artifact = self.scene.read("cmod", planned.source)["status"]["artifact"]
        file = find_file(self.scene, artifact["uri"])
        digest = artifact["digest"]
        return {"uri": self.link.put(file, f"{names.short_digest(digest, 64)}.zip"), "digest": digest}

    def note_facts(self, planned: Planned) -> None:
        """What is started, as its entries tell it.

        Raises:
            ResultsError: when what is known already is of another artifact or image.
        """
        artifact = self.scene.read("cmod", planned.source)["status"]["artifact"]
        deployment = self.scene.read("deployment", planned.name)
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        facts = {
            "configuration": tell_name(planned),
            "artifactBytes": artifact.get("sizeBytes"),
            "weights": format_weights(artifact),
            "image": container["image"],
            **tell_server(self.plan, planned),
        }
        for entry in self.journal.results.startup:
            if entry["configuration"] == facts["configuration"]:
                require_facts(entry, facts, "measured")
        self._facts[tell_name(planned)] = facts

    def start(self, start: Start, planned: Planned, asker: Asker) -> dict[str, Any]:
        """One pod more over that link, and gone again.

        Raises:
            ClusterError: when it is not Ready in time, or does not answer.
        """
        scene, selector = self.scene, render_selector(planned)
        self.wait_for_one(planned)
        self.link.shape(start.link.megabits_per_second)
        try:
            with PodWatch(scene.client, scene.namespace, selector) as watch:
                self.scale(planned, 2)
                times = watch.wait_until_ready(self.plan.ready_seconds)
                answered = self.ask(asker, planned, times)
        finally:
            self.scale(planned, 1)
        return render_start(start.block, times, answered, self.journal.session)

    def ask(self, asker: Asker, planned: Planned, times: PodTimes) -> float:
        """When the pod gave its first answer.

        Raises:
            ClusterError: when it gives none.
        """
        url = f"http://{times.address}:{names.HTTP_PORT}/v1/models/{planned.name}:predict"
        answer = asker.ask(url, self.bodies / "000.json", FIRST_ANSWER_SECONDS)
        if answer.status != OK:
            raise ClusterError(f"{times.name} is Ready and does not answer: {answer.error}")
        return answer.answered_unix

    def scale(self, planned: Planned, pods: int) -> None:
        """Ask for so many pods."""
        kind = "deployment" if planned.kind == "flask" else "cmod"
        patch = json.dumps({"spec": {"replicas": pods}})
        arguments = ["patch", kind, planned.name, "-n", self.scene.namespace, "--type=merge", "-p", patch]
        self.scene.client.kubectl(*arguments)

    def wait_for_one(self, planned: Planned) -> None:
        """One pod and no other, that goes or comes."""
        selector = render_selector(planned)
        wait_until(
            lambda: [is_ready_to_stay(pod) for pod in self.scene.read("pods", "-l", selector)["items"]],
            lambda seen: seen == [True],
            GONE_SECONDS,
            f"one pod of {planned.name} and no other",
        )

    def note(self, start: Start, made: Mapping[str, Any]) -> None:
        """Tell the journal of a start."""
        known = [entry for entry in self.journal.results.startup if entry["name"] == start.entry]
        starts = [*(known[0]["starts"] if known else ()), dict(made)]
        entry = render_entry(start.entry, self._facts[start.configuration], self.render_link(start.link), starts)
        others = [each for each in self.journal.results.startup if each["name"] != start.entry]
        self.journal.put_startup(compare(self.plan, [*others, entry]))
        self.tell(format_start(start, made))

    def render_link(self, link: Link) -> dict[str, Any]:
        """What an entry tells of it."""
        return {"link": link.name, "measuredMegabitsPerSecond": self._speeds[link.name]}

    def clear(self) -> None:
        """Take the copies away, and the Secret; the experiment's own configurations stay."""
        client, namespace = self.scene.client, self.scene.namespace
        for each in self.plan.configurations():
            kinds = "deployment,service" if each.kind == "flask" else "cmod"
            client.run("delete", kinds, each.name, "-n", namespace, "--ignore-not-found")
        client.run("delete", "secret", STORE_SECRET, "-n", namespace, "--ignore-not-found")


def render_selector(planned: Planned) -> str:
    """Labels of the pods."""
    if planned.kind == "flask":
        return f"app.kubernetes.io/instance={planned.name}"
    return f"{names.LABEL_MODEL}={planned.name},{names.LABEL_COMPONENT}={names.COMPONENT_SERVER}"


def is_ready_to_stay(pod: Mapping[str, Any]) -> bool:
    """Whether the pod is Ready and is not about to go."""
    told = {each["type"]: each["status"] for each in pod.get("status", {}).get("conditions", ())}
    return told.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def find_file(scene: Scene, uri: str) -> Path:
    """The file of an artifact of the store on this machine.

    Raises:
        ClusterError: when it is none.
    """
    path = uri.removeprefix("pvc://").partition("/")[2]
    if scene.store is None or not uri.startswith("pvc://") or not (scene.store / path).is_file():
        raise ClusterError(f"{uri} is no file on this machine: startup runs on the embedded node, without --context")
    return scene.store / path


def format_start(start: Start, made: Mapping[str, Any]) -> str:
    """In one line."""
    void = f", void: {made['void']}" if made["void"] else ""
    return (
        f"{start.name}: Ready after {made['readySeconds']:.2f} s, first answer after"
        f" {made['firstAnswerSeconds']:.2f} s{void}"
    )
