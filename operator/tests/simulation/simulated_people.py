"""What users, administrators and bad luck may do to models at any time."""

from simulated_controllers import summarise
from simulated_life import CHILDREN, PERMANENT, TRANSIENT

ALPHAS = (0, 0.5, 1)


class People:
    """Somebody who does one thing after another to the models of a namespace, by chance."""

    def __init__(self, life, names):
        self.life, self.names, self.random = life, names, life.random

    def act(self):
        """One thing; what it was stands in the story."""
        deed = self.random.choice(self._deeds)
        deed(self)

    def _pick(self):
        there = [name for name in self.names if ("CompressedModel", name) in self.life.api.live]
        return self.random.choice(there) if there else None

    def _edit(self, name=None, **fields):
        name = name or self._pick()
        if name is not None:
            self._note("edit", name, fields)
            self.life.edit_model(name, **fields)

    def _note(self, *words):
        self.life.story.append(" ".join(map(str, words)))

    def _change_recipe(self):
        self._edit(compression={"alpha": self.random.choice(ALPHAS), "bits": 8})

    def _scale(self):
        self._edit(replicas=self.random.randint(0, 3))

    def _autoscale(self):
        wanted = {"minReplicas": self.random.randint(1, 2), "maxReplicas": self.random.randint(2, 4)}
        self._edit(autoscaling=self.random.choice([wanted, wanted, None]))

    def _suspend(self):
        self._edit(suspend=self.random.choice([True, None, None]))

    def _change_pods(self):
        self._edit(serving={"resources": {"requests": {"cpu": self.random.choice(["1", "1000m", "2"])}}})

    def _change_strategy(self):
        self._edit(rollout={"strategy": self.random.choice(["Recreate", "Rolling", "Rolling"])})

    def _change_build(self):
        queue = self.random.choice([{}, {"queueName": "team"}])
        self._edit(build={"timeoutSeconds": self.random.choice([60, 600]), "retries": 1, **queue})

    def _compare(self):
        name = self._pick() or self.names[0]
        if ("CompressedModel", name) not in self.life.api.live:
            return
        other = self.random.choice([each for each in (*self.names, "absent") if each != name])
        self._edit(name, baseline=self.random.choice([None, {"name": other}]), objectives={"quality": {"minimum": 50}})

    def _change_store(self):
        phase = self.random.choice(["Missing", "Pending", "Bound", "Bound"])
        self._note("store", phase)
        self.life.make_store(phase)

    def _fail_builds(self):
        failures = self.random.choices([TRANSIENT, "Evicted", "OOMKilled", PERMANENT], k=self.random.randint(1, 2))
        self._note("builds fail", failures)
        self.life.controllers.failures += failures

    def _crash(self):
        self._note("pods crash")
        self.life.crash_pods()

    def _crash_for_long(self):
        self._note("pods crash again and again")
        if self.random.random() < 0.5:
            self.life.begin_crashing(only_new=self.random.random() < 0.5)
        else:
            self.life.end_crashing()

    def _spoil_file(self):
        name = self._pick()
        bad = self.life.controllers.bad_revisions
        if bad or name is None:
            bad.clear()
            self._note("files are right again")
            return
        digest = summarise(self.life.recipe_digest(name)).digest
        self._note("another file", digest)
        if not any(digest in str(pod) for pod in self.life.api.list_live("Pod").values()):
            bad.add(digest)

    def _remove_child(self):
        name = self._pick()
        kinds = [kind for kind in CHILDREN if (kind, name) in self.life.api.live]
        if kinds:
            kind = self.random.choice(kinds)
            self._note("remove", kind, name)
            self.life.remove_child(kind, name)

    def _remove_knowledge(self):
        kind = self.random.choice(["Job", "ConfigMap"])
        there = sorted(self.life.api.list_live(kind))
        if there:
            name = self.random.choice(there)
            self._note("remove", kind, name)
            self.life.remove_child(kind, name)

    def _edit_child(self):
        name = self._pick()
        if ("Deployment", name) not in self.life.api.live:
            return
        edit = self.random.choice([_relabel, _change_image, _scale_by_hand, _annotate_as_others_do])
        self._note("edit Deployment", name, edit.__name__)
        self.life.edit_child("Deployment", name, edit)

    def _remove_model(self):
        name = self.random.choice(self.names)
        if ("CompressedModel", name) in self.life.api.live:
            self._note("remove model", name)
            self.life.promised[name] = 0
            self.life.api.remove("CompressedModel", name)
        else:
            self._note("make model", name)
            self.life.make_model(name, compression={"alpha": self.random.choice(ALPHAS), "bits": 8})

    def _kill_operator(self):
        name = self._pick()
        if name is not None:
            lives_for = self.random.randint(0, 4)
            self._note("operator ends at write", lives_for, "of", name)
            self.life.run_pass(name, lives_for)

    def _refuse(self):
        verb, kind = self.random.choice(
            [
                ("create", "Job"),
                ("apply", "Deployment"),
                ("apply", "Service"),
                ("create", "Event"),
                ("scale", "Deployment"),
            ]
        )
        self._note("refuse", verb, kind)
        self.life.api.refuse[verb, kind] = "forbidden: exceeded quota: small"

    def _stop_refusing(self):
        self._note("refuse nothing")
        self.life.api.refuse.clear()

    def _lose_server(self):
        self.life.api.away = self.random.random() < 0.5
        self._note("API server away", self.life.api.away)

    def _wait(self):
        minutes = self.random.randint(1, 12)
        self._note("wait", minutes, "minutes")
        self.life.wait(minutes)

    def make_peace(self):
        """Take back whatever keeps models from being served, but for builds that failed for good."""
        life = self.life
        life.api.refuse.clear()
        life.api.away = False
        life.end_crashing()
        life.controllers.bad_revisions.clear()
        life.controllers.failures.clear()
        life.make_store()
        life.wait(minutes=6)  # what was refused is tried again
        for name in life.list_models():
            life.edit_model(name, suspend=None, build={"timeoutSeconds": 7200})

    _deeds = (
        *[_change_recipe] * 4,
        *[_scale, _autoscale, _suspend, _change_pods] * 2,
        *[_change_strategy, _change_build, _compare, _change_store, _fail_builds, _crash, _crash_for_long],
        *[_spoil_file, _remove_child, _remove_knowledge, _edit_child, _remove_model, _kill_operator],
        *[_refuse, _stop_refusing, _stop_refusing, _lose_server, _lose_server, _wait],
    )


def _relabel(deployment):
    deployment["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "somebody"


def _change_image(deployment):
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/other:1"


def _scale_by_hand(deployment):
    deployment["spec"]["replicas"] = 1


def _annotate_as_others_do(deployment):
    deployment["metadata"].setdefault("annotations", {})["team"] = "vision"
