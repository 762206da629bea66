# ruff: noqa: ANN001, ANN002, ANN003, ANN201, ANN202, ANN204, S101 - part of the tests beside it
"""The operator as a process against an API server, and the parts of a cluster that are played: kubelet, controllers."""

import json
import os
import subprocess
import time
from pathlib import Path

import yaml
from cluster.client import wait_until
from loopback import free_ports

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".envs" / "operator" / "bin" / "python"
RULES = ROOT / "charts" / "modelpress" / "templates" / "operator" / "_rules.tpl"
DIGEST = "sha256:" + "ab" * 32
SUMMARY = {
    "digest": DIGEST,
    "path": f"artifacts/{'ab' * 32}.zip",
    "sizeBytes": 100_000,
    "floatBytes": 800_000,
    "weights": 200_000,
    "bitsPerWeight": 4.0,
    "entropyBitsPerWeight": 3.5,
    "sparsityPercent": 70.0,
    "alpha": 1.0,
    "bits": 8,
    "rule": "Floor",
    "trained": True,
    "quality": {"metric": "Accuracy", "value": 97.0, "floatValue": 97.5, "samples": 360},
}
NOW = "2026-01-01T00:00:00Z"
PATIENCE_SECONDS = 60
"""Of waiting for what comes within a second or two where the machine has nothing else to do."""


class OperatorProcess:
    """`with OperatorProcess(kubeconfig, log, …) as operator:` runs it until the block ends."""

    def __init__(self, kubeconfig, log, **settings):
        self.health_port, self.metrics_port = free_ports(2)
        self.log = log
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MODELPRESS_")},
            "KUBECONFIG": str(kubeconfig),
            "MODELPRESS_HEALTH_PORT": str(self.health_port),
            "MODELPRESS_METRICS_PORT": str(self.metrics_port),
            **{f"MODELPRESS_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.process = None

    def __enter__(self):
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_):
        """End it, as Kubernetes would."""
        if self.process is not None:
            self.stop()

    def start(self):
        """Start a process."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [PYTHON, "-W", "error", "-m", "model_operator", "--listen", "127.0.0.1"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stop(self):
        """Ask it to end; how long that took, in seconds, and its exit status."""
        begun = time.monotonic()
        self.process.terminate()
        try:
            status = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.process = None
        return time.monotonic() - begun, status

    def kill(self):
        """End it without a word."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def words(self):
        """The end of its log."""
        return self.log.read_text(errors="replace")[-4000:]


class Cluster:
    """One namespace of the API server, as a user, a kubelet and Kubernetes' controllers would use it."""

    def __init__(self, server, namespace):
        self.server = server
        self.namespace = namespace

    def kubectl(self, *arguments, text=""):
        """What kubectl printed; a failure is one of the test."""
        done = self.server.kubectl(*arguments, "-n", self.namespace, text=text)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def make(self, *bodies):
        """Create or change these objects as a user does."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(bodies)}
        self.kubectl("apply", "-f", "-", text=json.dumps(items))

    def read(self, kind, name):
        """The object, or None."""
        done = self.server.kubectl("get", kind, name, "-n", self.namespace, "-o", "json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def list(self, kind, selector=""):
        """All objects of the kind."""
        return json.loads(self.kubectl("get", kind, "-o", "json", "-l", selector))["items"]

    def patch(self, kind, name, patch, *options):
        """A merge patch as a user makes it."""
        self.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(patch), *options)

    def conditions(self, model):
        """Condition type -> `Status/Reason`."""
        body = self.read("cmod", model) or {}
        found = body.get("status", {}).get("conditions", [])
        return {each["type"]: f"{each['status']}/{each['reason']}" for each in found}

    def message(self, model, kind):
        """What a condition says."""
        found = self.read("cmod", model)["status"]["conditions"]
        return next(each["message"] for each in found if each["type"] == kind)

    def wait_for(self, model, seconds=PATIENCE_SECONDS, **conditions):
        """Wait until the conditions are `Status/Reason`."""
        wait_until(
            lambda: self.conditions(model),
            lambda found: conditions.items() <= found.items(),
            seconds,
            f"{model}: {conditions}",
        )

    def wait_for_jobs(self, count, seconds=PATIENCE_SECONDS):
        """The build Jobs, once there are so many."""
        return wait_until(lambda: self.list("jobs"), lambda jobs: len(jobs) == count, seconds, f"{count} Jobs")

    def wait_for_leaving(self, job):
        """Until the Job is being deleted; it stays until its pods are gone."""
        metadata = wait_until(
            lambda: self.read("job", job)["metadata"],
            lambda seen: "deletionTimestamp" in seen,
            PATIENCE_SECONDS,
            f"the end of {job}",
        )
        assert metadata["finalizers"] == ["foregroundDeletion"]

    def collect_build(self, job):
        """Be the garbage collector: the Job's pods are gone, and so is the Job."""
        for pod in self.list("pods", f"job-name={job}"):
            self.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")
        ended = self.read("job", job)["metadata"]["uid"]
        self.patch("job", job, {"metadata": {"finalizers": None}})

        def uid():
            found = self.read("job", job)
            return found and found["metadata"]["uid"]

        # the next one of that name may be there already
        wait_until(uid, lambda seen: seen != ended, PATIENCE_SECONDS, f"the end of {job}")

    def make_claim(self, name="modelpress-store"):
        """A claim, which stays pending: nothing binds it here."""
        resources = {"requests": {"storage": "1Gi"}}
        spec = {"accessModes": ["ReadWriteOnce"], "resources": resources}
        self.make({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec})

    def start_build(self, job):
        """Be the Job controller, scheduler and kubelet: the Job's pod runs."""
        self._put_status("job", job["metadata"]["name"], {"startTime": NOW, "active": 1, "ready": 1})
        name = self._make_build_pod(job)
        self._put_container(name, "build", {"running": {"startedAt": NOW}}, "Running")
        return name

    def hold_build(self, job):
        """Be the Job controller and a scheduler that finds no node for the Job's pod."""
        self._put_status("job", job["metadata"]["name"], {"startTime": NOW, "active": 1, "ready": 0})
        reason = {"reason": "Unschedulable", "message": "0/1 nodes are available", "lastTransitionTime": NOW}
        conditions = [{"type": "PodScheduled", "status": "False", **reason}]
        self._put_status("pod", self._make_build_pod(job), {"phase": "Pending", "conditions": conditions})

    def _make_build_pod(self, job):
        owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": job["metadata"]["name"],
            "uid": job["metadata"]["uid"],
        }
        name = f"{job['metadata']['name']}-abcde"
        labels = {**job["spec"]["template"]["metadata"]["labels"], "job-name": job["metadata"]["name"]}
        self._make_pod(name, labels, {}, {**owner, "controller": True}, job["spec"]["template"]["spec"])
        return name

    def end_build(self, job, message, exit_code=0, reason=""):
        """Be kubelet and Job controller: the Job's pod ended, and so did the Job."""
        pod = f"{job['metadata']['name']}-abcde"
        end = {"exitCode": exit_code, "message": message, "startedAt": NOW, "finishedAt": NOW}
        end["reason"] = reason or ("Error" if exit_code else "Completed")
        self._put_container(pod, "build", {"terminated": end}, "Failed" if exit_code else "Succeeded")
        kinds = ("FailureTarget", "Failed") if exit_code else ("SuccessCriteriaMet", "Complete")
        finished = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        words = "BackoffLimitExceeded" if exit_code else "CompletionsReached"
        conditions = [
            {"type": kind, "status": "True", "reason": words, "message": "", "lastTransitionTime": finished}
            for kind in kinds
        ]
        counts = {"failed": 1} if exit_code else {"succeeded": 1, "completionTime": finished}
        status = {"startTime": NOW, "active": 0, "ready": 0, "conditions": conditions, **counts}
        self._put_status("job", job["metadata"]["name"], status)

    def build(self, model_jobs=1):
        """Play the one build that is wanted to its good end."""
        job = self.wait_for_jobs(model_jobs)[-1]
        self.start_build(job)
        self.end_build(job, json.dumps(SUMMARY))

    def serve(self, name, template_hash="6d4cf56db6"):
        """Be the Deployment's controller and kubelet: its pods run and are ready; the first one's name."""
        deployment = wait_until(lambda: self.read("deployment", name), bool, PATIENCE_SECONDS, f"Deployment {name}")
        template = deployment["spec"]["template"]
        labels = {**template["metadata"]["labels"], "pod-template-hash": template_hash}
        pods = [f"{name}-{template_hash}-abcd{ending}" for ending in "efghijk"[: deployment["spec"]["replicas"]]]
        for pod in pods:
            self._make_pod(pod, labels, template["metadata"]["annotations"], None, template["spec"])
            self._put_container(pod, "server", {"running": {"startedAt": NOW}}, "Running", ready=True)
        self.report_deployment(name)
        return pods[0]

    def report_deployment(self, name):
        """Be the Deployment's controller: every wanted pod is there."""
        deployment = self.read("deployment", name)
        replicas = deployment["spec"]["replicas"]
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas)
        self._put_status("deployment", name, {"observedGeneration": deployment["metadata"]["generation"], **counts})

    def _make_pod(self, name, labels, annotations, owner, spec):
        metadata = {"name": name, "labels": labels, "annotations": annotations}
        if owner:
            metadata["ownerReferences"] = [owner]
        self.make({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def _put_container(self, pod, container, state, phase, *, ready=False):
        status = {"name": container, "state": state, "ready": ready, "restartCount": 0, "image": "i", "imageID": "i"}
        conditions = [{"type": "Ready", "status": str(ready), "lastTransitionTime": NOW}]
        self._put_status("pod", pod, {"phase": phase, "containerStatuses": [status], "conditions": conditions})

    def _put_status(self, kind, name, status):
        self.patch(kind, name, {"status": status}, "--subresource=status")


def training_model(name="small", **spec):
    """A model to be built."""
    training = {"architecture": "SmallCNN", "dataset": "Digits", "epochs": 1, "seed": spec.pop("seed", 0)}
    return {
        "apiVersion": "modelpress.dev/v1alpha1",
        "kind": "CompressedModel",
        "metadata": {"name": name},
        "spec": {"compression": {"alpha": 1.0, "bits": 8}, "source": {"training": training}, **spec},
    }


def render_rights(name, rules=RULES):
    """The role and the binding by which the operator's service account has the rules of a chart's template."""
    lines = [line for line in rules.read_text().splitlines() if not line.startswith("{{")]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": yaml.safe_load("\n".join(lines)),
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "modelpress-operator", "namespace": "default"}],
    }
    return role, binding


def write_operator_kubeconfig(server, folder):
    """A kubeconfig of a service account that has the chart's rules and nothing else."""
    meta = {"name": "modelpress-operator"}
    role, binding = render_rights(meta["name"])
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**meta, "namespace": "default"}}
    made = server.kubectl(
        "apply", "-f", "-", text=json.dumps({"kind": "List", "apiVersion": "v1", "items": [role, binding, account]})
    )
    assert made.returncode == 0, made.stderr
    token = server.kubectl("create", "token", meta["name"], "-n", "default", "--duration=2h").stdout.strip()
    config = yaml.safe_load(server.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path = folder / "operator.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path
