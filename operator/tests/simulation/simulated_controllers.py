"""Kubernetes' controllers and a kubelet for the simulation: each call does one small thing, if there is any to do.

Nothing here knows the operator. What can happen in more than one order is chosen by the random numbers.
"""

import hashlib
import json
from collections import Counter
from datetime import datetime, timedelta

from simulated_api import RECIPE, format_stamp

from model_artifact.summary import ArtifactSummary, Failure, artifact_path, format_document

REVISION = "modelpress.dev/revision"
MODEL = "modelpress.dev/model"
HASH = "pod-template-hash"
SURGE = 1


def summarise(recipe_digest):
    """What the build of a recipe gives: the same artifact each time."""
    digest = f"sha256:{hashlib.sha256(recipe_digest.encode()).hexdigest()}"
    return ArtifactSummary(
        recipe_digest=recipe_digest,
        digest=digest,
        path=artifact_path(digest),
        size_bytes=1000,
        float_bytes=8000,
        weights=2000,
        bits_per_weight=4.0,
        entropy_bits_per_weight=3.5,
        sparsity_percent=70.0,
        trained=True,
    )


class Controllers:
    """Everything in a cluster that acts, but for the operator and people.

    Attributes:
        failures: what the next builds end with instead of an artifact: a Failure, or Kubernetes' reason.
        bad_revisions: digests whose file in the store is another.
        crashing: whether servers end soon after they start.
        crashing_only_new: whether servers that are ready go on nevertheless.
        falling: names of pods whose server ends soon after each start, and is never ready.
        full: whether no node takes another pod.
        built: recipes, and how many builds of each ended well since the beginning.
    """

    def __init__(self, api, random):
        self.api = api
        self.random = random
        self.failures = []
        self.bad_revisions = set()
        self.crashing = False
        self.crashing_only_new = False
        self.falling = set()
        self.full = False
        self.built = Counter()
        self._diligence = 1.0
        """How often a controller does what there is to do."""
        self._serial = 0

    def act(self, diligence=0.8):
        """Let one object after another, in any order, be acted upon once; whether anything changed.

        Args:
            diligence: how often a controller does what there is to do; 1: always.
        """
        self._diligence = diligence
        before = {key: body["metadata"]["resourceVersion"] for key, body in self.api.live.items()}
        keys = [key for key in self.api.live if key[0] in self._actors]
        self.random.shuffle(keys)
        for kind, name in keys:
            if (kind, name) in self.api.live and self._is_diligent():
                self._actors[kind](self, name)
        return before != {key: body["metadata"]["resourceVersion"] for key, body in self.api.live.items()}

    def _is_diligent(self):
        return self.random.random() < self._diligence

    def list_pods(self, owner):
        """The pods of a Deployment or Job that are not ending, by name."""
        return {name: pod for name, pod in self.list_all_pods(owner).items() if not is_ending(pod)}

    def list_all_pods(self, owner):
        """Likewise, with those that are."""
        uid = owner["metadata"]["uid"]
        pods = self.api.list_live("Pod")
        return {name: pod for name, pod in pods.items() if pod["metadata"]["ownerReferences"][0]["uid"] == uid}

    # Deployments.

    def _run_deployment(self, name):
        deployment = self.api.live["Deployment", name]
        if deployment["spec"]["strategy"]["type"] == "Recreate":
            self._recreate(deployment)
        else:
            self._roll(deployment)
        if self._is_diligent():
            self._tell_deployment(self.api.live["Deployment", name])

    def _recreate(self, deployment):
        fresh, older = self._split(deployment)
        if older:
            self._end(*older)
        elif not [pod for pod in self.list_all_pods(deployment).values() if is_ending(pod)]:
            self._scale_fresh(deployment, fresh, deployment["spec"]["replicas"])
        else:
            self._scale_fresh(deployment, fresh, min(len(fresh), deployment["spec"]["replicas"]))

    def _roll(self, deployment):
        """A rolling update with maxUnavailable 0 and maxSurge 1."""
        replicas = deployment["spec"]["replicas"]
        fresh, older = self._split(deployment)
        unready_fresh = sum(not is_ready(pod) for pod in fresh.values())
        unready_older = [name for name, pod in older.items() if not is_ready(pod)]
        spare = len(fresh) + len(older) - replicas - unready_fresh
        if not older or len(fresh) > replicas:
            self._scale_fresh(deployment, fresh, replicas)
        elif unready_older and spare > 0:
            self._end(unready_older[0])
        elif spare > 0 and sum(map(is_ready, (*fresh.values(), *older.values()))) > replicas:
            self._end(self.random.choice(sorted(set(older) - set(unready_older))))
        elif len(fresh) < replicas and len(fresh) + len(older) < replicas + SURGE:
            self._start_server(deployment)

    def _scale_fresh(self, deployment, fresh, replicas):
        if len(fresh) < replicas:
            self._start_server(deployment)
        elif len(fresh) > replicas:
            self._end(min(fresh, key=lambda name: (is_ready(fresh[name]), name)))

    def _split(self, deployment):
        wanted = hash_template(deployment["spec"]["template"])
        pods = self.list_pods(deployment)
        fresh = {name: pod for name, pod in pods.items() if pod["metadata"]["labels"][HASH] == wanted}
        return fresh, {name: pod for name, pod in pods.items() if name not in fresh}

    def _start_server(self, deployment):
        template = deployment["spec"]["template"]
        wanted = hash_template(template)
        self._start_pod(deployment, f"{deployment['metadata']['name']}-{wanted}", {HASH: wanted}, "ReplicaSet")

    def _tell_deployment(self, deployment):
        """The status; a rollout that makes no progress for its deadline is told so."""
        fresh, older = self._split(deployment)
        pods = {**fresh, **older}
        ready = sum(map(is_ready, pods.values()))
        counts = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": len(pods),
            "updatedReplicas": len(fresh),
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        old = deployment.get("status") or {}
        since = old.get("since", format_stamp(self.api.now))
        if any(old.get(key) != value for key, value in counts.items()):
            since = format_stamp(self.api.now)
        replicas = deployment["spec"]["replicas"]
        complete = len(fresh) == len(pods) == ready == replicas
        late = self.api.now - parse_stamp(since) > timedelta(seconds=deployment["spec"]["progressDeadlineSeconds"])
        was_late = any(each["reason"] == "ProgressDeadlineExceeded" for each in old.get("conditions", ()))
        finished = old.get("finished") == hash_template(deployment["spec"]["template"])
        conditions = []
        if not complete and not finished and (late or was_late) and since == old.get("since"):
            words = "the ReplicaSet has timed out progressing."
            conditions = [
                {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": words}
            ]
        told = {**counts, "since": since, "conditions": conditions}
        if complete or finished:
            told["finished"] = hash_template(deployment["spec"]["template"])
        self.api.change("Deployment", deployment["metadata"]["name"], lambda body: body.update(status=told))

    # Jobs.

    def _run_job(self, name):
        job = self.api.live["Job", name]
        pods = self.list_all_pods(job)
        if is_ending(job):
            for pod in pods:
                self.api.remove("Pod", pod)
            self.api.remove("Job", name)
        elif job["spec"].get("suspend"):
            # A queue has others before it.
            if self._diligence == 1 or self.random.random() < 0.2:
                self.api.change("Job", name, lambda body: body["spec"].update(suspend=False))
        elif is_finished(job):
            return
        elif not pods:
            self._start_pod(job, name, {}, "Job")
            start = format_stamp(self.api.now)
            self.api.change("Job", name, lambda body: body.setdefault("status", {}).setdefault("startTime", start))
        else:
            self._end_job(name, next(iter(pods.values())))

    def begin_builds(self):
        """Have every build run, whatever it waits for."""
        for name in self.api.list_live("Job"):
            self.api.change("Job", name, lambda job: job["spec"].update(suspend=False))
            self._run_job(name)
            (pod,) = self.list_pods(self.api.live["Job", name])
            self._run_pod(pod)

    def _end_job(self, name, pod):
        if pod["status"]["phase"] not in {"Succeeded", "Failed"}:
            return
        kind = "Complete" if pod["status"]["phase"] == "Succeeded" else "Failed"
        reason = {"Failed": "BackoffLimitExceeded"}.get(kind, "")
        stamp = format_stamp(self.api.now)
        told = {"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": stamp}

        def finish(body):
            body["status"] |= {"conditions": [told]} | ({"completionTime": stamp} if kind == "Complete" else {})

        self.api.change("Job", name, finish)
        if kind == "Complete":
            self.built[self.api.live["Job", name]["metadata"]["annotations"][RECIPE]] += 1

    # Pods.

    def _start_pod(self, owner, prefix, labels, kind):
        self._serial += 1
        template = owner["spec"]["template"]
        metadata = template["metadata"]
        reference = {"kind": kind, "name": prefix, "uid": owner["metadata"]["uid"], "controller": True}
        self.api.put(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"{prefix}-{self._serial:04d}",
                    "labels": {**metadata["labels"], **labels},
                    "annotations": dict(metadata.get("annotations") or {}),
                    "ownerReferences": [reference],
                },
                "status": {"phase": "Pending"},
            }
        )

    def _end(self, *names):
        stamp = format_stamp(self.api.now)
        for name in names:
            self.api.change("Pod", name, lambda pod: pod["metadata"].update(deletionTimestamp=stamp))

    def _run_pod(self, name):
        pod = self.api.live["Pod", name]
        if is_ending(pod):
            self.api.remove("Pod", name)
        elif pod["status"]["phase"] in {"Succeeded", "Failed"}:
            return
        elif MODEL in pod["metadata"]["labels"]:
            self._run_server(name, pod)
        else:
            self._run_build(name, pod)

    def _run_server(self, name, pod):
        """Scheduled, unpacked, started, ready; or back from wherever it fell."""
        bad = pod["metadata"]["annotations"][REVISION] in self.bad_revisions
        unpacked = find_end(pod, "initContainerStatuses").get("exitCode") == 0
        running = "running" in find_state(pod, "containerStatuses")
        if self.full and "containerStatuses" not in pod["status"]:
            self._leave_pending(name)
        elif bad:
            if not is_crashed(pod):
                self._set_server(name, unpack=4)
        elif not unpacked:
            self._set_server(name, unpack=0)
        elif name in self.falling:
            self._set_server(name, unpack=0, server="crashed" if running else "running", restarts=int(running))
        elif self.crashing and not (self.crashing_only_new and is_ready(pod)) and (running or not is_crashed(pod)):
            self._set_server(name, unpack=0, server="crashed", restarts=1)
        elif self.crashing and is_crashed(pod) and self._diligence < 1 and self.random.random() < 0.5:
            # The kubelet tries again; where everybody is to come to rest, it waits.
            self._set_server(name, unpack=0, server="running")
        elif not running and not self.crashing:
            self._set_server(name, unpack=0, server="running")
        elif running and not is_ready(pod):
            self._set_server(name, unpack=0, server="running", ready=True)

    def _leave_pending(self, name):
        words = "0/3 nodes are available: 3 Insufficient cpu."
        told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
        self.api.change("Pod", name, lambda pod: pod.update(status={"phase": "Pending", "conditions": [told]}))

    def crash(self, name):
        """Have one server fall over; the kubelet starts it again."""
        self._set_server(name, unpack=0, server="crashed", restarts=1)

    def _set_server(self, name, unpack, server="waiting", restarts=0, *, ready=False):
        stamp = format_stamp(self.api.now)
        failed = unpack != 0
        end = {"exitCode": unpack, "reason": "Error" if failed else "Completed", "message": ""}
        init_state = {"waiting": {"reason": "CrashLoopBackOff"}} if failed else {"terminated": end}
        states = {
            "waiting": {"waiting": {"reason": "PodInitializing"}},
            "running": {"running": {}},
            "crashed": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
        }
        fallen = {"terminated": {"exitCode": 1, "reason": "Error", "message": "the server ended"}}

        def edit(pod):
            old = next(iter(pod["status"].get("containerStatuses", ())), {})
            pod["status"] = {
                "phase": "Running" if server == "running" else "Pending",
                "conditions": [{"type": "Ready", "status": str(ready), "lastTransitionTime": stamp}],
                "initContainerStatuses": [
                    {"name": "unpack", "state": init_state, **({"lastState": {"terminated": end}} if failed else {})}
                ],
                "containerStatuses": [
                    {
                        "name": "server",
                        "ready": ready,
                        "restartCount": old.get("restartCount", 0) + restarts,
                        "state": states[server],
                        **({"lastState": fallen} if server == "crashed" or "lastState" in old else {}),
                    }
                ],
            }

        self.api.change("Pod", name, edit)

    def _run_build(self, name, pod):
        """Running, then over: as the next failure has it, or well."""
        if "running" not in find_state(pod, "containerStatuses"):
            state = {"phase": "Running", "containerStatuses": [{"name": "build", "state": {"running": {}}}]}
            self.api.change("Pod", name, lambda body: body.update(status=state))
            return
        if not self._is_diligent():
            return
        failure = self.failures.pop(0) if self.failures else None
        if failure is None:
            message = format_document(summarise(pod["metadata"]["annotations"][RECIPE]))
            end = {"exitCode": 0, "reason": "Completed", "message": message}
        elif isinstance(failure, Failure):
            end = {"exitCode": 5, "reason": "Error", "message": json.dumps(failure.model_dump(by_alias=True))}
        else:
            end = {"exitCode": 137, "reason": failure, "message": ""}
        phase = "Succeeded" if failure is None else "Failed"
        over = {"phase": phase, "containerStatuses": [{"name": "build", "state": {"terminated": end}}]}
        self.api.change("Pod", name, lambda body: body.update(status=over))

    # Autoscalers.

    def _run_autoscaler(self, name):
        autoscaler, deployment = self.api.live["HorizontalPodAutoscaler", name], self.api.live.get(("Deployment", name))
        if deployment is None or deployment["spec"]["replicas"] == 0:
            return
        least, most = autoscaler["spec"]["minReplicas"], autoscaler["spec"]["maxReplicas"]
        now = deployment["spec"]["replicas"]
        wish = now if self._diligence == 1 else self.random.randint(least, most)
        wish = min(max(wish, least), most)
        if wish != now:
            self.api.change("Deployment", name, lambda body: body["spec"].update(replicas=wish))

    _actors = {  # noqa: RUF012  constant
        "Deployment": _run_deployment,
        "Job": _run_job,
        "Pod": _run_pod,
        "HorizontalPodAutoscaler": _run_autoscaler,
    }


def hash_template(template):
    """The pod-template-hash."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:6]


def is_ending(body):
    """Whether it is being deleted."""
    return "deletionTimestamp" in body["metadata"]


def is_finished(job):
    """Whether the Job is over, well or not."""
    return bool((job.get("status") or {}).get("conditions"))


def has_failed(job):
    """Whether the Job is over without an artifact."""
    return any(each["type"] == "Failed" for each in (job.get("status") or {}).get("conditions") or ())


def list_owners(body):
    """UIDs of the object's owners."""
    return {owner["uid"] for owner in body["metadata"].get("ownerReferences") or ()}


def is_ready(pod):
    """Whether the pod answers."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))


def is_crashed(pod):
    """Whether one of its containers is held back after a failure."""
    states = [find_state(pod, field) for field in ("initContainerStatuses", "containerStatuses")]
    return any(state.get("waiting", {}).get("reason") == "CrashLoopBackOff" for state in states)


def is_failing(pod):
    """Whether one of its containers is held back after a failure, or runs again after one and is not ready yet."""
    server = next(iter(pod["status"].get("containerStatuses", ())), {})
    return is_crashed(pod) or (not is_ready(pod) and "lastState" in server)


def find_state(pod, field):
    """The state of the pod's only container of that sort."""
    return next((each["state"] for each in pod["status"].get(field, ())), {})


def find_end(pod, field):
    """How that container ended."""
    return find_state(pod, field).get("terminated", {})


def parse_stamp(text):
    """The time that Kubernetes wrote."""
    return datetime.fromisoformat(text)
