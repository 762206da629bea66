"""`kubectl cmod status`: one model as a tree. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from kubectl_cmod import state
from kubectl_cmod.facts import ModelFacts
from kubectl_cmod.paint import BAD, DOING, FAINT, GOOD, Paint
from kubectl_cmod.remedies import find_remedy
from kubectl_cmod.words import format_age
from model_operator import names

_LABEL_WIDTH: Final = 11
_COLOURS: Final = {"True": GOOD, "False": BAD}


class _Branch(NamedTuple):
    label: str
    text: str
    colour: str = ""
    leaves: tuple[tuple[str, str], ...] = ()
    """Text and colour of what hangs below."""


def format_tree(facts: ModelFacts, now: datetime, paint: Paint) -> str:
    """The model: what is asked for, its build, artifact, pods, numbers, and what keeps it from being ready."""
    ready = state.is_ready(facts)
    reason = facts.condition("Ready").get("reason") or "the operator has not looked at it yet"
    word = "ready" if ready else "not ready"
    age = format_age(facts.body["metadata"].get("creationTimestamp"), now)
    lines = [f"{facts.full_name}: {paint(word, GOOD if ready else BAD)} ({reason}), {age} old"]
    branches = list(_grow(facts, now))
    for number, branch in enumerate(branches):
        last = number == len(branches) - 1
        fork, bar = ("└─ ", "   ") if last else ("├─ ", "│  ")
        text = paint(branch.text, branch.colour) if branch.colour else branch.text
        lines.append(f"{paint(fork, FAINT)}{branch.label.ljust(_LABEL_WIDTH)}{text}")
        lines += [
            f"{paint(bar, FAINT)}{' ' * _LABEL_WIDTH}{paint(leaf, colour) if colour else leaf}"
            for leaf, colour in branch.leaves
        ]
    return "\n".join(lines)


def _grow(facts: ModelFacts, now: datetime) -> Iterator[_Branch]:
    """Every branch for which there is something to tell."""
    yield _Branch("wanted", state.format_wanted(facts.body))
    artifact_ready = facts.condition("ArtifactReady")
    build, artifact, serving = facts.part("build"), facts.part("artifact"), facts.part("serving")
    if build:
        doing = DOING if artifact_ready.get("status") != "True" else ""
        pods = _format_pods(facts.build_pods[-1:], names.BUILD_CONTAINER)
        yield _Branch("build", state.format_build(build, artifact_ready), doing, pods)
    if artifact:
        yield _Branch("artifact", state.format_artifact(artifact))
    if serving or facts.server_pods:
        available = facts.condition("Available").get("status", "")
        pods = _format_pods(facts.server_pods, names.SERVER_CONTAINER)
        yield _Branch("serving", state.format_serving(serving), _COLOURS.get(available, ""), pods)
    kpis = facts.part("kpis")
    if kpis:
        yield _Branch("KPIs", f"{state.format_kpis(kpis)}, {format_age(kpis.get('measuredAt'), now)} ago")
    yield from _grow_judgements(facts)
    if not state.is_ready(facts):
        yield _explain(facts)


def _grow_judgements(facts: ModelFacts) -> Iterator[_Branch]:
    """Objectives and savings; where there is no number, why."""
    objectives = facts.condition("WithinObjectives")
    if objectives:
        colour = _COLOURS.get(str(objectives.get("status")), "")
        yield _Branch("objectives", f"{objectives.get('reason')}: {objectives.get('message')}", colour)
    baseline = ((facts.body.get("spec") or {}).get("baseline") or {}).get("name", "")
    savings, compared = facts.part("savings"), facts.condition("Compared")
    if savings:
        yield _Branch("savings", state.format_savings(savings, baseline))
    elif compared:
        yield _Branch("savings", f"unknown, {compared.get('reason')}: {compared.get('message')}")


def _explain(facts: ModelFacts) -> _Branch:
    """Why it is not ready, and what to do."""
    ready = facts.condition("Ready")
    if not state.is_current(facts):
        return _Branch("why not", "the operator has not looked at this change of the spec yet", DOING)
    remedy = find_remedy(str(ready.get("reason"))).what_to_do
    goes_on = facts.condition("Reconciling").get("status") == "True"
    leaves = ((f"What to do: {remedy}", ""),) if remedy else ()
    return _Branch("why not", str(ready.get("message")), DOING if goes_on else BAD, leaves)


def _format_pods(pods: tuple[state.Object, ...], container: str) -> tuple[tuple[str, str], ...]:
    described = state.describe_pods(pods, container)
    return tuple((f"{name}: {text}", "" if well else BAD) for name, text, well in described)
