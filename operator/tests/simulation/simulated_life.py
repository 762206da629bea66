"""Models whose users, cluster and operator do things in any order, and what must hold all the while."""

import copy
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

from simulated_api import NAMESPACE, RECIPE, KilledError, SimulatedApi
from simulated_controllers import (
    HASH,
    MODEL,
    REVISION,
    Controllers,
    find_state,
    has_failed,
    hash_template,
    is_ending,
    is_failing,
    is_finished,
    is_ready,
    list_owners,
    summarise,
)

from model_artifact.summary import Failure
from model_operator.api.status import CompressedModelStatus
from model_operator.api.v1alpha1 import parse_model
from model_operator.errors import ModelOperatorError
from model_operator.measurement import KpiReader
from model_operator.observe import Sources
from model_operator.planning.history import KEPT_REVISIONS
from model_operator.reconcile import reconcile
from model_operator.refused import Refused
from model_operator.settings import Settings
from model_operator.untaken import Untaken
from model_operator.untold import Untold

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
CLAIM = "modelpress-store"
TRANSIENT = Failure(error="The data set did not arrive whole; try again.", permanent=False)
PERMANENT = Failure(error="Layer conv2d has no finite weights; lower the learning rate.", permanent=True)
CHILDREN = ("Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler")
MOST_ROUNDS = 600


class Life:
    """One namespace from its first object on.

    Attributes:
        promised: by model, how many pods answer at least whatever the operator does; 0 once somebody else did harm.
    """

    def __init__(self, seed):
        self.random = Random(seed)  # noqa: S311  no secret
        self.api = SimulatedApi(START)
        self.controllers = Controllers(self.api, self.random)
        self.sources = Sources(self.api, KpiReader(None, 15), Settings())
        self.begin_operator()
        self.promised = Counter()
        self.written = 0
        self.story = []
        self.forgotten = Counter()
        """Recipes whose record or Jobs somebody deleted, which allows one build more."""
        self.beside = Counter()
        """Recipes of which a build was begun while one of another model could not start, and how often."""

    def read_seconds(self):
        """What a clock says."""
        return self.api.now.timestamp()

    # What people do.

    def make_model(self, name="small", **spec):
        """A new model; the smallest, with these fields."""
        body = {
            "apiVersion": "modelpress.dev/v1alpha1",
            "kind": "CompressedModel",
            "metadata": {"name": name},
            "spec": {
                "compression": {"alpha": 1, "bits": 8},
                "source": {"training": {"architecture": "SmallCNN", "dataset": "Digits"}},
                **spec,
            },
        }
        self.promised[name] = 0
        self.api.put(body)

    def make_store(self, phase="Bound"):
        """The claim, in that phase; Missing takes it away."""
        if ("PersistentVolumeClaim", CLAIM) in self.api.live:
            self.api.remove("PersistentVolumeClaim", CLAIM)
        if phase != "Missing":
            claim = {
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": CLAIM},
                "spec": {},
                "status": {"phase": phase},
            }
            self.api.put(claim)

    def edit_model(self, name="small", **fields):
        """Change the spec; a field that is None goes."""

        def edit(body):
            body["spec"] = {key: value for key, value in {**body["spec"], **fields}.items() if value is not None}

        self.api.change("CompressedModel", name, edit)
        self.promised[name] = min(self.promised[name], self.find_least(name))

    def edit_child(self, kind, name, edit):
        """Change what the operator made, by hand."""
        self.api.change(kind, name, edit)
        if kind == "Deployment":
            self.promised[name] = min(self.promised[name], self.api.live[kind, name]["spec"]["replicas"])

    def remove_child(self, kind, name):
        """Delete what the operator made, by hand."""
        recipe = (self.api.live[kind, name]["metadata"].get("annotations") or {}).get("modelpress.dev/recipe-digest")
        if kind in {"Job", "ConfigMap"}:
            self.forgotten[recipe] += 1
        if kind == "Deployment":
            self.promised[name] = 0
        self.api.remove(kind, name)

    def crash_pods(self):
        """Have some servers fall over."""
        for name, pod in self.api.list_live("Pod").items():
            model = pod["metadata"]["labels"].get(MODEL)
            if model is not None and is_ready(pod) and self.random.random() < 0.5:
                self.promised[model] = 0
                self.controllers.crash(name)

    def begin_crashing(self, *, only_new=False):
        """Have servers fall over again and again; or only those that are not ready yet."""
        self.controllers.crashing, self.controllers.crashing_only_new = True, only_new
        if not only_new:
            self.promised.clear()

    def end_crashing(self):
        """Let servers run again."""
        self.controllers.crashing = self.controllers.crashing_only_new = False

    # What the operator does.

    def begin_operator(self):
        """A process that remembers nothing."""
        self.untaken = Untaken(Untold(self.read_seconds), Refused(self.read_seconds))

    def find_least(self, name="small"):
        """How many pods the spec asks for at least; none where old ones may go first."""
        spec = self.read_spec(name)
        live = self.api.live.get(("Deployment", name))
        if spec.rollout.strategy == "Recreate" or (live and live["spec"]["strategy"]["type"] == "Recreate"):
            return 0
        return spec.replicas if spec.autoscaling is None else spec.autoscaling.min_replicas

    def read_spec(self, name="small"):
        """The model's spec as the operator parses it."""
        return parse_model(self.api.live["CompressedModel", name]).spec

    def recipe_digest(self, name="small"):
        """Digest of the recipe that the model asks for."""
        return parse_model(self.api.live["CompressedModel", name]).recipe().digest

    def read_status(self, name="small"):
        """The model's status."""
        return self.api.live["CompressedModel", name].get("status") or {}

    def tell(self, kind, name="small"):
        """Status and reason of one condition."""
        conditions = {each["type"]: each for each in self.read_status(name).get("conditions", ())}
        return (conditions[kind]["status"], conditions[kind]["reason"]) if kind in conditions else None

    def run_pass(self, name="small", lives_for=None):
        """One pass of the operator over a model, ended at a write where it lives for so many only."""
        seen = copy.deepcopy(self.api.view("CompressedModel", name))
        view = {key: self.api.view(*key) for key in self.api._told}
        before = copy.deepcopy(self.read_status(name)) if ("CompressedModel", name) in self.api.live else {}
        self.api.writes, self.api.kill_at = [], lives_for
        try:
            reconcile(NAMESPACE, name, self.sources, self.api.now, self.untaken)
        except KilledError:
            self.begin_operator()
        except ModelOperatorError:
            pass
        finally:
            self.api.kill_at = None
        writes = tuple(self.api.writes)
        if ("status", "CompressedModel", name) in writes and ("CompressedModel", name) in self.api.live:
            self._check_status(name, seen, before, view)
        assert sum(verb == "status" for verb, _, _ in writes) <= 1, writes
        for verb, kind, made in writes:
            if (verb, kind) == ("create", "Job") and (kind, made) in self.api.live:
                self._check_begun(self.api.live[kind, made], seen["metadata"]["uid"], view)
        self.check_cluster()
        return writes

    def run_round(self, names, passes=1.0):
        """Some time in which anything may happen: a little of everybody's work, in any order."""
        self.api.now += timedelta(seconds=self.random.uniform(0.5, 8))
        work = [self.controllers.act, lambda: self.api.tell(self.random.randint(0, 6))]
        work += [lambda name=name: self.run_pass(name) for name in names if self.random.random() < passes]
        self.random.shuffle(work)
        for each in work:
            each()
            self.check_cluster()

    def settle(self):
        """Let everything run until nothing changes any more, and say in how many rounds; then nothing is written."""
        quiet = 0
        for number in range(MOST_ROUNDS):
            self.api.now += timedelta(seconds=5)
            acted = self.controllers.act(diligence=1)
            self.check_cluster()
            self.api.tell()
            written = [write for name in self.list_models() for write in self.run_pass(name)]
            quiet = 0 if acted or written else quiet + 1
            if quiet == 5:
                self._check_steady()
                return number
        raise AssertionError(f"not steady after {MOST_ROUNDS} rounds: {written} {self.format()}")

    def wait(self, minutes):
        """Let so much time pass, and the controllers see it."""
        self.api.now += timedelta(minutes=minutes)
        self.controllers.act(diligence=1)

    def _check_steady(self):
        """Nothing is written however long it lasts; and what was wanted is promised from now on."""
        for _ in range(4):
            self.api.now += timedelta(minutes=10)
            for name in self.list_models():
                written = self.run_pass(name)
                assert written == (), f"{written} {self.format()}"
        self._check_finished()
        for name in self.list_models():
            if self.tell("Ready", name) == ("True", "Serving"):
                self.promised[name] = self.find_least(name)

    def list_models(self):
        """Names of the models."""
        return sorted(self.api.list_live("CompressedModel"))

    # What must hold.

    def check_cluster(self):
        """What holds whatever was done last."""
        for name in self.list_models():
            pods = self.list_servers(name)
            ready = sum(map(is_ready, pods))
            assert ready >= self.promised[name], f"{ready} of {self.promised[name]} pods of {name}. {self.format()}"
        jobs = self.api.list_live("Job")
        going = [job for job in jobs.values() if not is_finished(job) and not is_ending(job)]
        of_settings = Counter(job["metadata"]["labels"]["modelpress.dev/build"] for job in going)
        assert not of_settings or max(of_settings.values()) == 1, f"{of_settings}. {self.format()}"
        for recipe, count in Counter(map(read_recipe, going)).items():
            assert count <= 1 + self.beside[recipe], f"{count} builds of {recipe} at a time. {self.format()}"
        for recipe, count in self.controllers.built.items():
            # Not again, unless what is known of it was taken away.
            most = 1 + self.forgotten[recipe] + self.api.lost[recipe] + self.beside[recipe]
            assert count <= most, f"{recipe} was built {count} times. {self.format()}"

    def _check_begun(self, made, uid, view):
        """A build is begun beside no other of its recipe but one that waits, for another model, on other settings."""
        pods = [body for (kind, _), body in view.items() if kind == "Pod" and body]
        jobs = [body for (kind, _), body in view.items() if kind == "Job" and body]
        for job in jobs:
            same = job["metadata"]["name"] == made["metadata"]["name"]
            if same or is_finished(job) or read_recipe(job) != read_recipe(made):
                continue
            own = [pod for pod in pods if list_owners(pod) == {job["metadata"]["uid"]}]
            where = f"{made['metadata']['name']} beside {job['metadata']['name']}. {self.format()}"
            assert not is_ending(job), where
            assert not any(find_state(pod, "containerStatuses") for pod in own), where
            assert list_owners(job) - {uid}, where
            self.beside[read_recipe(made)] += 1

    def _check_finished(self):
        """At rest a finished build is there that decides something, or that is some model's last one."""
        living = {body["metadata"]["uid"] for body in self.api.list_live("CompressedModel").values()}
        jobs = [job for job in self.api.list_live("Job").values() if is_finished(job) and list_owners(job) & living]
        for job in jobs:
            assert any(self._has_use(job, name, jobs) for name in self.list_models()), (
                f"{job['metadata']['name']} is left. {self.format()}"
            )

    def _has_use(self, job, name, jobs):
        """Whether a finished build is of use to the model."""
        uid = self.api.live["CompressedModel", name]["metadata"]["uid"]
        if uid not in list_owners(job):
            return False
        last = max((each for each in jobs if uid in list_owners(each)), key=find_end_time)
        recorded = any(read_recipe(body) == read_recipe(job) for body in self.api.list_live("ConfigMap").values())
        asked = read_recipe(job) == self.recipe_digest(name)
        return find_end_time(job) == find_end_time(last) or not recorded or (asked and has_failed(job))

    def list_servers(self, name):
        """The model's pods that are not ending."""
        pods = self.api.list_live("Pod").values()
        return [pod for pod in pods if pod["metadata"]["labels"].get(MODEL) == name and not is_ending(pod)]

    def _check_status(self, name, seen, before, view):
        """What a status may say, written by a pass that saw `seen`, over the status `before`."""
        status = self.read_status(name)
        where = f"{json.dumps(status)}. {self.format()}"
        assert CompressedModelStatus.model_validate_json(json.dumps(status)).to_json() == status, where
        generation = seen["metadata"]["generation"]
        assert status["observedGeneration"] == generation, where
        conditions = {each["type"]: each for each in status["conditions"]}
        assert {each["observedGeneration"] for each in conditions.values()} == {generation}, where
        self._check_times(before, conditions, where)
        self._check_history(status, where)
        truths = {kind: conditions[kind]["status"] for kind in ("Ready", "Reconciling", "Stalled")}
        held = conditions["Reconciling"]["reason"] == "Suspended"
        assert list(truths.values()).count("True") == (0 if held else 1), where
        assert not held or seen["spec"]["suspend"], where
        if truths["Ready"] == "True":
            self._check_ready(name, seen, status, view, where)

    def _check_times(self, before, conditions, where):
        for old in before.get("conditions", ()):
            new = conditions.get(old["type"])
            if new is not None:
                moved = new["lastTransitionTime"] != old["lastTransitionTime"]
                assert moved <= (new["status"] != old["status"]), where
                assert new["lastTransitionTime"] >= old["lastTransitionTime"], where

    def _check_history(self, status, where):
        history = status.get("history", [])
        assert len(history) <= KEPT_REVISIONS, where
        digests = [each["digest"] for each in history] + [(status.get("serving") or {}).get("digest")]
        assert all(one != other for one, other in pairwise(digests) if other), where

    def _check_ready(self, name, seen, status, view, where):
        """Ready: what the spec asks for answers, on as many pods as it asks for, and nothing crashes."""
        model = parse_model(seen)
        wanted = summarise(model.recipe().digest).digest
        deployment = view["Deployment", name]
        replicas = deployment["spec"]["replicas"]
        assert deployment["spec"]["template"]["metadata"]["annotations"][REVISION] == wanted, where
        pods = [
            pod
            for (kind, _), pod in view.items()
            if kind == "Pod" and pod and pod["metadata"]["labels"].get(MODEL) == name and not is_ending(pod)
        ]
        assert not [pod for pod in pods if is_failing(pod)], where
        autoscaling = model.spec.autoscaling
        least = replicas if autoscaling is None else autoscaling.min_replicas
        answering = [pod for pod in pods if is_ready(pod)]
        assert len(answering) >= least, where
        # The pods may be seen later than the Deployment's status that tells of them.
        template = hash_template(deployment["spec"]["template"])
        sides = [pods, self.list_servers(name)]
        fresh = [sum(is_ready(pod) and pod["metadata"]["labels"][HASH] == template for pod in side) for side in sides]
        assert max(fresh) >= least, where
        assert {pod["metadata"]["annotations"][REVISION] for pod in answering} <= {wanted}, where
        assert autoscaling is not None or replicas == model.spec.replicas, where
        if replicas:
            assert status["serving"]["digest"] == wanted, where
            assert {each["type"]: each["status"] for each in status["conditions"]}["Available"] == "True", where

    def check_events(self):
        """No milestone of a build was told twice, and no name was made for two."""
        events = self.api.list_live("Event").values()
        told = Counter(
            (event["involvedObject"]["uid"], event["reason"], event["message"].split(" builds ")[0])
            for event in events
            if event["reason"] in {"BuildStarted", "BuildSucceeded"}
        )
        for (_, reason, subject), count in told.items():
            job = subject.removeprefix("Job ").split(" ")[0]
            times = max(1, self.api.created["Job", job])
            assert count <= times, f"{reason} of {job} was told {count} times. {self.format()}"

    def format(self):
        """The story so far, for the failure's text."""
        return "Story: " + "; ".join(map(str, self.story[-40:]))


def read_recipe(body):
    """Digest of the recipe that a Job builds or a ConfigMap records; None of others."""
    return (body["metadata"].get("annotations") or {}).get(RECIPE)


def find_end_time(job):
    """When a finished Job ended."""
    return job["status"]["conditions"][0]["lastTransitionTime"]
