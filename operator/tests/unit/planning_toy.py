"""A toy cluster: a dictionary of objects, and just enough of Kubernetes' controllers to let plans take effect.

It keeps what the API server would keep, adds defaults that nobody stated, runs Jobs, rolls Deployments out and scales
for the autoscaler, one small step for each `tick`.
"""

import copy
import hashlib
from datetime import UTC, datetime, timedelta

from model_artifact.summary import ArtifactSummary, Failure, artifact_path, parse_summary
from model_operator import names
from model_operator.api.v1alpha1 import parse_model
from model_operator.observation import BuildAttempt, Children, Claim, Observation, Pod, Record
from model_operator.planning.decision import Plan
from model_operator.planning.drift import hash_object
from model_operator.planning.job import SUMMARY_KEY
from model_operator.planning.ownership import CHILD_KINDS
from model_operator.planning.plan import plan
from model_operator.settings import Settings

STEP = timedelta(seconds=7)
ATTRIBUTES = dict(CHILD_KINDS)


def make_summary(recipe_digest):
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


class ToyCluster:
    """One namespace with one model."""

    def __init__(self, body, settings=None, uid="uid-1"):
        self.body, self.uid, self.settings = copy.deepcopy(body), uid, settings or Settings()
        self.generation, self.status = 1, {}
        self.jobs, self.records, self.children, self.pods = {}, {}, {}, []
        self.store, self.now = "Bound", datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
        self.failures = []
        """What the next builds fail with; an empty list lets them succeed."""
        self.bad_revisions = set()
        """Digests whose files in the store are others."""
        self.serial = 0

    @property
    def model(self):
        """The object as the operator parses it."""
        return parse_model(self.body)

    def edit(self, **fields):
        """Change the spec; a field that is None is removed."""
        before = copy.deepcopy(self.body["spec"])
        for name, value in fields.items():
            if value is None:
                self.body["spec"].pop(name, None)
            else:
                self.body["spec"][name] = value
        self.generation += self.body["spec"] != before

    def condition(self, kind):
        """Status and reason of one condition."""
        found = [each for each in self.status.get("conditions", ()) if each["type"] == kind]
        return (found[0]["status"], found[0]["reason"]) if found else None

    def observe(self):
        """What the operator would find."""
        recipe = self.model.recipe()
        attempts = [job for job in self.jobs.values() if recipe is not None and job["recipe"] == recipe.digest]
        record = self.records.get(recipe.digest) if recipe is not None else None
        return Observation(
            uid=self.uid,
            generation=self.generation,
            status=copy.deepcopy(self.status),
            attempts=tuple(job["attempt"] for job in attempts),
            record=record,
            store=Claim(self.settings.store_claim_name, self.store),
            children=Children(**copy.deepcopy(self.children)),
            pods=tuple(pod["facts"] for pod in self.pods),
        )

    def plan(self):
        """What planning says to that."""
        return plan(self.model, self.observe(), self.settings, self.now)

    def step(self):
        """One pass of the operator, then a little of the cluster's own work."""
        result = self.plan()
        self.apply(result)
        self.tick()
        return result

    def run(self, limit=60, check=None):
        """Step until three passes in a row write nothing; the last plan."""
        quiet, result = 0, Plan()
        for _ in range(limit):
            result = self.step()
            if check is not None:
                check(self, result)
            quiet = quiet + 1 if is_empty(result) else 0
            if quiet == 3:
                return result
        raise AssertionError(f"not steady after {limit} passes: {result.reasons}, {self.status.get('conditions')}")

    def apply(self, result):
        """Carry out a plan as the API server would take it."""
        for body in result.create:
            self._create(body)
        for reference in result.adopt:
            self._adopt(reference)
        for body in result.apply:
            self._apply(body)
        if result.scale is not None:
            self._scale(result.scale)
        for reference in result.delete:
            del self.children[ATTRIBUTES[reference.kind]]
        for reference in result.leave:
            del self.jobs[reference.name]
        if result.status is not None:
            self.status = copy.deepcopy(dict(result.status))

    def tick(self):
        """Let time pass, and every controller do one thing."""
        self.now += STEP
        for job in self.jobs.values():
            job["attempt"] = self._run_job(job)
        if "deployment" in self.children:
            self._run_autoscaler()
            self._run_deployment()

    def _create(self, body):
        name, metadata = body["metadata"]["name"], body["metadata"]
        recipe = metadata["annotations"][names.ANNOTATION_RECIPE_DIGEST]
        owners = frozenset(owner["uid"] for owner in metadata["ownerReferences"])
        assert not any(owner.get("controller") for owner in metadata["ownerReferences"])
        if body["kind"] == "ConfigMap":
            summary, store = parse_summary(body["data"][SUMMARY_KEY]), metadata["annotations"][names.ANNOTATION_STORE]
            self.records.setdefault(recipe, Record(owners, summary, store))
            return
        assert name not in self.jobs, f"Job {name} was made twice"
        number = int(metadata["annotations"][names.ANNOTATION_ATTEMPT])
        build_hash = metadata["labels"][names.LABEL_BUILD]
        attempt = BuildAttempt(
            name, owners, build_hash, number, "Pending", store=metadata["annotations"][names.ANNOTATION_STORE]
        )
        self.jobs[name] = {"recipe": recipe, "attempt": attempt}

    def _adopt(self, reference):
        if reference.kind == "Job":
            job = self.jobs[reference.name]
            job["attempt"] = _replace(job["attempt"], owners=job["attempt"].owners | {self.uid})
            return
        for digest, record in self.records.items():
            if names.record_name(digest) == reference.name:
                self.records[digest] = _replace(record, owners=record.owners | {self.uid})

    def _apply(self, body):
        attribute = ATTRIBUTES[body["kind"]]
        before = self.children.get(attribute)
        live = add_defaults(copy.deepcopy(dict(body)))
        if before is not None:
            assert before["metadata"]["ownerReferences"][0]["uid"] == self.uid, f"{attribute} was taken over"
            for part in ("status",):
                if part in before:
                    live[part] = before[part]
            if "replicas" in before["spec"]:
                live["spec"]["replicas"] = before["spec"]["replicas"]
        changed = before is None or before["spec"] != live["spec"]
        generation = before["metadata"]["generation"] if before is not None else 0
        live["metadata"]["generation"] = generation + changed
        self.children[attribute] = live

    def _scale(self, replicas):
        deployment = self.children["deployment"]
        deployment["metadata"]["generation"] += deployment["spec"]["replicas"] != replicas
        deployment["spec"]["replicas"] = replicas

    def _run_job(self, job):
        attempt = job["attempt"]
        if attempt.state == "Pending":
            return _replace(attempt, state="Running", started_at=self.now)
        if attempt.state != "Running":
            return attempt
        if self.failures:
            failure = self.failures.pop(0)
            words = {"failure": failure} if isinstance(failure, Failure) else {"reason": failure}
            return _replace(attempt, state="Failed", finished_at=self.now, **words)
        return _replace(attempt, state="Succeeded", finished_at=self.now, summary=make_summary(job["recipe"]))

    def _run_autoscaler(self):
        autoscaler, deployment = self.children.get("autoscaler"), self.children["deployment"]
        if autoscaler is None or deployment["spec"]["replicas"] == 0:
            return
        spec = autoscaler["spec"]
        self._scale(min(max(deployment["spec"]["replicas"], spec["minReplicas"]), spec["maxReplicas"]))

    def _run_deployment(self):
        """One pod is started, becomes ready, or is ended: as a rolling update without unavailable pods does it."""
        deployment = self.children["deployment"]
        replicas, template = deployment["spec"]["replicas"], deployment["spec"]["template"]
        template_hash = hash_object(template)[:8]
        revision = template["metadata"]["annotations"][names.ANNOTATION_REVISION]
        fresh = [pod for pod in self.pods if pod["facts"].template_hash == template_hash]
        older = [pod for pod in self.pods if pod["facts"].template_hash != template_hash]
        waiting = next((pod for pod in fresh if not pod["facts"].ready), None)
        if deployment["spec"]["strategy"]["type"] == "Recreate" and older:
            self.pods = fresh
        elif waiting is not None and revision not in self.bad_revisions:
            waiting["facts"] = _replace(waiting["facts"], ready=True, unpack_exit_code=0)
        elif len(fresh) > replicas:
            self.pods.remove(waiting or fresh[-1])
        elif idle := [pod for pod in older if not pod["facts"].ready]:
            self.pods.remove(idle[0])
        elif older and waiting is None and len(self.pods) > replicas:
            self.pods.remove(older[0])
        elif len(fresh) < replicas and len(self.pods) < replicas + bool(older):
            self._start_pod(template_hash, revision)
        fresh = [pod["facts"] for pod in self.pods if pod["facts"].template_hash == template_hash]
        ready = sum(pod["facts"].ready for pod in self.pods)
        deployment["status"] = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": len(self.pods),
            "updatedReplicas": len(fresh),
            "readyReplicas": ready,
            "availableReplicas": ready,
        }

    def _start_pod(self, template_hash, revision):
        self.serial += 1
        bad = revision in self.bad_revisions
        facts = Pod(
            name=f"{self.body['metadata']['name']}-{template_hash}-{self.serial:05d}",
            template_hash=template_hash,
            revision=revision,
            ready=False,
            terminating=False,
            reason="CrashLoopBackOff" if bad else "",
            unpack_exit_code=4 if bad else None,
        )
        self.pods.append({"facts": facts})


def add_defaults(live):
    """What an API server adds, and how it rewrites quantities."""
    if live["kind"] == "Deployment":
        live["spec"].setdefault("replicas", 1)
        pod = live["spec"]["template"]["spec"]
        pod |= {"dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "restartPolicy": "Always"}
        for container in (*pod["containers"], *pod["initContainers"]):
            container["terminationMessagePath"] = "/dev/termination-log"
            for amounts in container["resources"].values():
                for resource, amount in amounts.items():
                    amounts[resource] = {"1000m": "1", "1024Mi": "1Gi"}.get(amount, amount)
    if live["kind"] == "Service":
        live["spec"] |= {"clusterIP": "10.0.0.9", "sessionAffinity": "None"}
    return live


def is_empty(result):
    """Whether a plan writes nothing at all."""
    return not (result.create or result.adopt or result.apply or result.delete) and (
        result.scale is None and result.status is None
    )


def _replace(facts, **changes):
    return type(facts)(**{**vars(facts), **changes})
