"""An API server and a Prometheus for tests: dictionaries that behave as the real ones do where it matters."""

# ruff: noqa: D102 - the protocols in kube.py and prometheus.py say what each does
import copy
import itertools

from model_operator.errors import PrometheusError, RefusedError


class FakeKube:
    """Keeps objects by kind, namespace and name, and remembers every write.

    Attributes:
        writes: verb, kind and name of each write, in order.
        refuse: (verb, kind) -> the error that such a request raises.
    """

    def __init__(self):
        self.objects = {}
        self.logs = {}
        self.writes = []
        self.refuse = {}
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

    def list_labelled(self, kind, namespace, labels):
        self._refuse("list", kind)
        return [
            copy.deepcopy(body)
            for (its_kind, its_namespace, _), body in self.objects.items()
            if (its_kind, its_namespace) == (kind, namespace)
            and labels.items() <= body["metadata"].get("labels", {}).items()
        ]

    def list_models(self):
        self._refuse("list", "CompressedModel")
        return [copy.deepcopy(body) for (kind, _, _), body in self.objects.items() if kind == "CompressedModel"]

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
            self.put(body)
        else:
            merge(there, body)

    def scale(self, namespace, name, replicas):
        self._write("scale", "Deployment", name)
        self.objects["Deployment", namespace, name]["spec"]["replicas"] = replicas

    def delete(self, kind, namespace, name, uid):
        self._write("delete", kind, name)
        if self.objects[kind, namespace, name]["metadata"]["uid"] == uid:
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
    """Answers by the first key that the query contains, and remembers what it was asked."""

    def __init__(self, answers=None):
        self.answers = {} if answers is None else answers
        self.silent = False
        self.asked = []

    def query(self, query):
        self.asked.append(query)
        if self.silent:
            raise PrometheusError("nobody is there")
        return next((answer for key, answer in self.answers.items() if key in query), {})


def refused(message="no", *, invalid=True):
    """What the API server says no with."""
    return RefusedError(message, invalid=invalid)
