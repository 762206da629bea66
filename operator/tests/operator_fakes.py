"""An API server and a Prometheus for tests: dictionaries that behave as the real ones do where it matters."""

# ruff: noqa: D102 - the protocols in kube.py and prometheus.py say what each does
import copy
import itertools

from model_operator.errors import RefusedError
from model_operator.planning.drift import hash_change
from model_operator.prometheus import Sample


class Clock:
    """Seconds that a test sets."""

    now = 1000.0

    def __call__(self):
        """The time."""
        return self.now


class FakeKube:
    """Keeps objects by kind, namespace and name, and remembers every write.

    Attributes:
        writes: verb, kind and name of each write, in order.
        refuse: (verb, kind) -> the error that such a request raises.
        untold: kind, namespace and name of objects that only a fresh list has.
        admit: changes what was applied, as an admission policy does.
        kept: kind, namespace and name -> what the last apply of it answered.
    """

    scopes = ("",)

    def __init__(self):
        self.objects = {}
        self.logs = {}
        self.writes = []
        self.refuse = {}
        self.untold = set()
        self.admit = lambda _: None
        self.kept = {}
        self._uids = itertools.count(1)

    def put(self, body):
        """Have the object there, as if someone else had made it."""
        stored = copy.deepcopy(body)
        metadata = stored["metadata"]
        metadata.setdefault("namespace", "press")
        metadata.setdefault("uid", f"uid-{next(self._uids)}")
        metadata.setdefault("generation", 1)
        self.objects[stored["kind"], metadata["namespace"], metadata["name"]] = stored
        return stored

    def read(self, kind, namespace, name):
        self._refuse("read", kind)
        return copy.deepcopy(self.objects.get((kind, namespace, name)))

    def list_labelled(self, kind, namespace, labels, *, fresh=False):
        self._refuse("list", kind)
        return [
            copy.deepcopy(body)
            for key, body in self.objects.items()
            if key[:2] == (kind, namespace)
            and labels.items() <= body["metadata"].get("labels", {}).items()
            and (fresh or key not in self.untold)
        ]

    def list_owned(self, kind, namespace, uid):
        return [
            copy.deepcopy(body)
            for (its_kind, its_namespace, _), body in self.objects.items()
            if (its_kind, its_namespace) == (kind, namespace)
            and any(owner["uid"] == uid for owner in body["metadata"].get("ownerReferences", ()))
        ]

    def list_metadata(self, kind, scope):
        self._refuse("list", kind)
        assert scope == ""
        found = [body["metadata"] for (its_kind, _, _), body in self.objects.items() if its_kind == kind]
        yield 1_000_000, [{"metadata": {"resourceVersion": "1", **metadata}} for metadata in found]

    def list_events(self, namespace, kind, name):
        return [
            copy.deepcopy(body)
            for (its_kind, its_namespace, _), body in self.objects.items()
            if (its_kind, its_namespace) == ("Event", namespace)
            and (body["involvedObject"]["kind"], body["involvedObject"]["name"]) == (kind, name)
        ]

    def read_log(self, namespace, pod, container):
        self._refuse("log", "Pod")
        return self.logs.get((namespace, pod, container), "")

    def create(self, namespace, body):
        self._write("create", body["kind"], body["metadata"]["name"])
        if (body["kind"], namespace, body["metadata"]["name"]) in self.objects:
            return False
        self.put(body)
        return True

    def add_owner(self, kind, namespace, name, owner):
        self._write("own", kind, name)
        owners = self.objects[kind, namespace, name]["metadata"].setdefault("ownerReferences", [])
        owners[:] = [each for each in owners if each["uid"] != owner["uid"]] + [owner]

    def apply(self, namespace, body):
        self._write("apply", body["kind"], body["metadata"]["name"])
        there = self.objects.get((body["kind"], namespace, body["metadata"]["name"]))
        if there is None:
            there = self.put(body)
        else:
            merge(there, body)
        self.admit(there)
        self.kept[body["kind"], namespace, body["metadata"]["name"]] = hash_change(body, there)

    def find_kept(self, kind, namespace, name):
        return self.kept.get((kind, namespace, name))

    def scale(self, namespace, name, replicas):
        self._write("scale", "Deployment", name)
        self.objects["Deployment", namespace, name]["spec"]["replicas"] = replicas

    def delete(self, kind, namespace, name, uid):
        self._write("delete", kind, name)
        if self.objects[kind, namespace, name]["metadata"]["uid"] == uid:
            del self.objects[kind, namespace, name]

    def leave(self, kind, namespace, name, uid):
        self._write("leave", kind, name)
        body = self.objects[kind, namespace, name]
        others = [each for each in body["metadata"].get("ownerReferences", ()) if each["uid"] != uid]
        if others:
            body["metadata"]["ownerReferences"] = others
        else:
            del self.objects[kind, namespace, name]

    def write_status(self, namespace, name, uid, status):
        self._write("status", "CompressedModel", name)
        body = self.objects["CompressedModel", namespace, name]
        assert body["metadata"]["uid"] == uid
        body["status"] = copy.deepcopy(dict(status))

    def _write(self, verb, kind, name):
        self._refuse(verb, kind)
        self.writes.append((verb, kind, name))

    def _refuse(self, verb, kind):
        if (verb, kind) in self.refuse:
            raise self.refuse[verb, kind]


def merge(there, body):
    """Put every field of `body` into `there`; lists are replaced."""
    for key, value in body.items():
        if isinstance(value, dict) and isinstance(there.get(key), dict):
            merge(there[key], value)
        else:
            there[key] = copy.deepcopy(value)


class FakePrometheus:
    """Answers by the first key that the query contains, and remembers what it was asked.

    Attributes:
        answers: a part of the query -> pairs of labels and value.
        error: what every question is answered with instead, where it is not None.
    """

    def __init__(self, answers=None):
        self.answers = {} if answers is None else answers
        self.error = None
        self.asked = []

    def query(self, query):
        self.asked.append(query)
        if self.error is not None:
            raise self.error
        found = next((answer for key, answer in self.answers.items() if key in query), ())
        return [Sample(labels, value) for labels, value in found]


def measured(*pods, requests=None, errors=None, fine=None, standard=None, cpu_seconds=None, memory_bytes=None):
    """Prometheus' answers about pods that were scraped in the whole window; numbers are those of each pod."""

    def of_pods(value):
        return [] if value is None else [({"pod": pod}, value) for pod in pods]

    replica_sets = sorted({pod.rpartition("-")[0] for pod in pods})
    return {
        "histogram_quantile": [
            ({"replicaset": each, "edges": edges}, value)
            for each in replica_sets
            for edges, value in (("fine", fine), ("standard", standard))
            if value is not None
        ],
        "request_latency_count": [*(({"pod": pod, "whole": "yes"}, 1.0) for pod in pods), *of_pods(requests)],
        "request_count": of_pods(errors),
        "container_memory": of_pods(memory_bytes),
        "container_cpu": of_pods(cpu_seconds),
    }


def refused(message="no", *, invalid=True):
    """What the API server says no with."""
    return RefusedError(message, invalid=invalid)
