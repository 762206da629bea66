"""An API server for the simulation: objects with generations, server-side apply of one manager, and a watch that lags.

What others write is seen by the operator only some time later; what it wrote itself, at once. That is what a cache that
is fed by a watch gives it.
"""

# ruff: noqa: D102 - the protocol in kube.py says what each does
import copy
import itertools
from collections import Counter
from datetime import timedelta

from model_operator.errors import ClusterError, RefusedError
from model_operator.planning.drift import hash_change

NAMESPACE = "press"
RECIPE = "modelpress.dev/recipe-digest"
_COUNTED = {"CompressedModel", "Deployment", "Job", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
"""Kinds whose generation counts the changes of their spec."""


class KilledError(BaseException):
    """The operator is ended at this very write."""


class SimulatedApi:
    """The API server; the operator uses it as a `Kube`, everybody else through `live`, `put`, `change` and `remove`.

    Attributes:
        now: the cluster's time.
        live: the objects as they are, by kind and name.
        writes: verb, kind and name of each of the operator's writes.
        refuse: (verb, kind) -> the words with which such a write is refused.
        kill_at: how many more writes the operator lives for; None: all.
        refused: how often a verb and kind were refused.
        admit: changes what was applied, as an admission policy does.
        kept: kind and name -> what the last apply of it answered; a new operator knows of none.
        lost: recipes whose Jobs or record went with the last model that owned them, and how often.
    """

    def __init__(self, now):
        self.now = now
        self.live = {}
        self.writes = []
        self.refuse = {}
        self.kill_at = None
        self.away = False
        self.created = Counter()
        self.refused = Counter()
        self.admit = lambda _: None
        self.kept = {}
        self.lost = Counter()
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)
        self._told = {}
        """What the watch has told of each object: None where it told that it is gone."""
        self._untold = []
        """Keys of what changed and was not told yet, oldest first."""

    # For everybody else.

    def put(self, body):
        """Make an object, as anybody may."""
        stored = copy.deepcopy(body)
        metadata = stored["metadata"]
        metadata.setdefault("namespace", NAMESPACE)
        metadata["uid"] = f"uid-{next(self._uids)}"
        metadata["creationTimestamp"] = format_stamp(self.now)
        metadata["generation"] = 1
        add_defaults(stored)
        self._store((stored["kind"], metadata["name"]), stored)
        return stored

    def change(self, kind, name, edit):
        """Let `edit` change the object in place."""
        before = self.live[kind, name]
        after = copy.deepcopy(before)
        edit(after)
        if kind in _COUNTED and after.get("spec") != before.get("spec"):
            after["metadata"]["generation"] += 1
        if after != before:
            self._store((kind, name), after)

    def remove(self, kind, name):
        """Delete the object at once, and in the background what it controls alone."""
        gone = self.live.pop((kind, name))
        self._note((kind, name))
        self.collect(gone["metadata"]["uid"])

    def collect(self, uid):
        """Delete what nobody but the owner of that uid, which is gone, owned."""
        for (other, other_name), body in list(self.live.items()):
            owners = body["metadata"].get("ownerReferences") or []
            left = [owner for owner in owners if owner["uid"] != uid]
            if owners and not left:
                if other in {"Job", "ConfigMap"}:
                    self.lost[(body["metadata"].get("annotations") or {}).get(RECIPE)] += 1
                self.remove(other, other_name)
            elif left != owners:
                self.change(other, other_name, lambda each, left=left: each["metadata"].update(ownerReferences=left))

    def list_live(self, kind):
        """All objects of the kind, by name."""
        return {name: body for (its_kind, name), body in sorted(self.live.items()) if its_kind == kind}

    def tell(self, count=None):
        """Let the watch tell of so many changes; None: all."""
        for key in self._untold[:count]:
            self._told[key] = self.live.get(key)
        del self._untold[:count]

    @property
    def is_all_told(self):
        """Whether the operator sees what is."""
        return not self._untold

    def view(self, kind, name):
        """What the operator sees of one object."""
        return self._told.get((kind, name))

    # For the operator.

    def read(self, kind, namespace, name):
        self._answer()
        assert namespace == NAMESPACE
        return copy.deepcopy(self._told.get((kind, name)))

    def list_labelled(self, kind, namespace, labels, *, fresh=False):
        del fresh
        self._answer()
        return [
            body
            for body in self._list(kind, namespace)
            if labels.items() <= (body["metadata"].get("labels") or {}).items()
        ]

    def list_owned(self, kind, namespace, uid):
        self._answer()
        return [
            body
            for body in self._list(kind, namespace)
            if any(owner["uid"] == uid for owner in body["metadata"].get("ownerReferences") or ())
        ]

    def _list(self, kind, namespace):
        assert namespace == NAMESPACE
        return [copy.deepcopy(body) for (its_kind, _), body in sorted(self._told.items()) if its_kind == kind and body]

    def list_events(self, namespace, kind, name):
        self._answer()
        about = {"kind": kind, "name": name}
        events = self._list("Event", namespace)
        return [event for event in events if about.items() <= event["involvedObject"].items()]

    def read_log(self, namespace, pod, container):
        self._answer()
        assert (namespace, container) == (NAMESPACE, "build")
        return f"{pod} says nothing that would be progress\n"

    def create(self, namespace, body):
        self._write("create", body["kind"], body["metadata"]["name"])
        assert namespace == NAMESPACE
        key = body["kind"], body["metadata"]["name"]
        self.created[key] += 1
        if key in self.live:
            self._tell_own(key)
            return False
        self.put(body)
        self._tell_own(key)
        return True

    def add_owner(self, kind, namespace, name, owner):
        self._write("own", kind, name)
        assert namespace == NAMESPACE
        if (kind, name) not in self.live:
            raise ClusterError(f"{kind} {name} not found")

        def join(body):
            owners = body["metadata"].setdefault("ownerReferences", [])
            owners[:] = [each for each in owners if each["uid"] != owner["uid"]] + [dict(owner)]

        self.change(kind, name, join)
        self._tell_own((kind, name))

    def apply(self, namespace, body):
        kind, name = body["kind"], body["metadata"]["name"]
        self._write("apply", kind, name)
        assert namespace == NAMESPACE
        key = kind, name
        if key not in self.live:
            stored = self.put(body)
            self.admit(stored)
            stored["applied"] = copy.deepcopy(body)
        else:

            def take(there):
                apply_fields(there, body)
                self.admit(there)

            self.change(kind, name, take)
        self.kept[key] = hash_change(body, self.live[key])
        self._tell_own(key)

    def find_kept(self, kind, namespace, name):
        assert namespace == NAMESPACE
        return self.kept.get((kind, name))

    def scale(self, namespace, name, replicas):
        self._write("scale", "Deployment", name)
        assert namespace == NAMESPACE
        if ("Deployment", name) not in self.live:
            raise ClusterError(f"Deployment {name} not found")
        self.change("Deployment", name, lambda body: body["spec"].update(replicas=replicas))
        self._tell_own(("Deployment", name))

    def delete(self, kind, namespace, name, uid):
        self._write("delete", kind, name)
        assert namespace == NAMESPACE
        if (kind, name) in self.live and self.live[kind, name]["metadata"]["uid"] == uid:
            self.remove(kind, name)
            self._tell_own((kind, name))

    def leave(self, kind, namespace, name, uid):
        self._write("leave", kind, name)
        assert namespace == NAMESPACE
        body = self.live.get((kind, name))
        if body is None:
            return
        left = [owner for owner in body["metadata"].get("ownerReferences") or () if owner["uid"] != uid]
        if left:
            self.change(kind, name, lambda each: each["metadata"].update(ownerReferences=left))
        else:
            # In the foreground: it stays, and is ending, until its pods are gone.
            stamp = format_stamp(self.now)
            self.change(kind, name, lambda each: each["metadata"].setdefault("deletionTimestamp", stamp))
        self._tell_own((kind, name))

    def write_status(self, namespace, name, uid, status):
        self._write("status", "CompressedModel", name)
        assert namespace == NAMESPACE
        key = "CompressedModel", name
        if key not in self.live:
            return
        if self.live[key]["metadata"]["uid"] != uid:
            raise RefusedError("Precondition failed: UID in precondition", invalid=False)
        self.change(*key, lambda body: body.update(status=copy.deepcopy(dict(status))))
        self._tell_own(key)

    def _answer(self):
        if self.kill_at is not None and self.kill_at < 0:
            raise KilledError
        if self.away:
            raise ClusterError("the API server does not answer")

    def _write(self, verb, kind, name):
        self._answer()
        if self.kill_at is not None:
            self.kill_at -= 1
            if self.kill_at < 0:
                raise KilledError
        words = self.refuse.get((verb, kind))
        if words is not None:
            self.refused[verb, kind] += 1
            raise RefusedError(words, invalid=False)
        self.writes.append((verb, kind, name))

    def _store(self, key, body):
        body["metadata"]["resourceVersion"] = str(next(self._versions))
        self.live[key] = body
        self._note(key)

    def _note(self, key):
        if key in self._untold:
            self._untold.remove(key)
        self._untold.append(key)

    def _tell_own(self, key):
        """What the operator wrote it sees at once."""
        self._told[key] = self.live.get(key)
        if key in self._untold:
            self._untold.remove(key)


def apply_fields(there, body):
    """Server-side apply by the only manager that applies: what it stated before and states no more is given up."""
    _give_up(there, there.get("applied", {}), body)
    _put_fields(there, body)
    there["applied"] = copy.deepcopy(body)


def _give_up(there, before, now):
    for key, value in before.items():
        if key not in now:
            there.pop(key, None)
        elif isinstance(value, dict) and isinstance(now[key], dict) and isinstance(there.get(key), dict):
            _give_up(there[key], value, now[key])


def _put_fields(there, body):
    for key, value in body.items():
        if isinstance(value, dict) and isinstance(there.get(key), dict):
            _put_fields(there[key], value)
        else:
            there[key] = copy.deepcopy(value)


def add_defaults(body):
    """What the API server states where nobody does."""
    if body["kind"] == "Deployment":
        body["spec"].setdefault("replicas", 1)
    if body["kind"] == "CompressedModel":
        body.setdefault("status", {"observedGeneration": -1})


def format_stamp(time):
    """The time as Kubernetes writes it."""
    return (time - timedelta(microseconds=time.microsecond)).strftime("%Y-%m-%dT%H:%M:%SZ")
