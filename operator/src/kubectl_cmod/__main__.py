"""`kubectl cmod`: reads the command line, asks kubectl, prints. Exit codes: 0 done, 1 kubectl could not, 2 bad use."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

import model_operator
from kubectl_cmod import why
from kubectl_cmod.arguments import BUILD, SERVER, UNPACK, Request, parse_arguments
from kubectl_cmod.comparison import format_comparison, render_comparison
from kubectl_cmod.facts import RESOURCE, ModelFacts, read_model
from kubectl_cmod.kubectl import Kubectl, PluginError
from kubectl_cmod.listing import format_list, render_list
from kubectl_cmod.paint import choose_paint
from kubectl_cmod.state import find_build_log, is_ready
from kubectl_cmod.tree import format_tree
from model_operator import names

EXIT_FAILED = 1


def run(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command; its exit code."""
    request = parse_arguments(arguments, model_operator.__version__)
    try:
        kubectl = Kubectl(request.options, request.namespace, everywhere=request.everywhere)
        text = _answer(request, kubectl, datetime.now(UTC))
    except PluginError as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    print(text)
    return 0


def _answer(request: Request, kubectl: Kubectl, now: datetime) -> str:
    match request.command:
        case "status":
            facts = read_model(kubectl, request.names[0])
            return (
                _dump(_render_status(facts)) if request.as_json else format_tree(facts, now, choose_paint(sys.stdout))
            )
        case "why":
            found = _explain(kubectl, request.names[0])
            return _dump(found.to_json()) if request.as_json else why.format_explanation(found, now)
        case "logs":
            return _read_logs(request, kubectl)
        case "compare":
            first, second = (kubectl.read(RESOURCE, name) for name in request.names)
            return _dump(render_comparison(first, second)) if request.as_json else format_comparison(first, second)
        case "list":
            bodies = kubectl.read_list(RESOURCE)
            if request.as_json:
                return _dump(render_list(bodies))
            return (
                format_list(bodies, now, everywhere=request.everywhere) if bodies else "There are no CompressedModels."
            )


def _explain(kubectl: Kubectl, name: str) -> why.Explanation:
    facts = read_model(kubectl, name)
    if is_ready(facts):
        return why.explain(facts)
    return why.explain(facts, why.read_events(kubectl, facts), why.read_log(kubectl, facts))


def _render_status(facts: ModelFacts) -> dict[str, Any]:
    """For programs: the objects themselves, which have every field."""
    explanation = why.explain(facts)
    return {
        "name": facts.full_name,
        "ready": explanation.ready,
        "reason": explanation.reason,
        "message": explanation.message,
        "remedy": explanation.remedy,
        "model": facts.body,
        "jobs": facts.jobs,
        "pods": [*facts.build_pods, *facts.server_pods],
    }


def _read_logs(request: Request, kubectl: Kubectl) -> str:
    """Go on as `kubectl logs`, or give what was kept of a build whose pod is gone."""
    facts = read_model(kubectl, request.names[0])
    options = (f"--tail={request.tail}", *(["--follow"] if request.follow else []))
    part = request.part or _choose_part(facts)
    return _read_build_log(facts, kubectl, options) if part == BUILD else _follow_servers(facts, kubectl, part, options)


def _choose_part(facts: ModelFacts) -> str:
    """What concerns the model most."""
    if why.concerns_build(facts):
        return BUILD
    return UNPACK if why.concerns_unpacking(facts) else SERVER


def _read_build_log(facts: ModelFacts, kubectl: Kubectl, options: Sequence[str]) -> str:
    if facts.build_pods:
        pod = str(facts.build_pods[-1]["metadata"]["name"])
        kubectl.become("logs", pod, f"--container={names.BUILD_CONTAINER}", *options)
    kept = find_build_log(facts)
    if not kept:
        raise PluginError(f"{facts.full_name} has no build whose log is still there")
    return kept.rstrip("\n")


def _follow_servers(facts: ModelFacts, kubectl: Kubectl, part: str, options: Sequence[str]) -> NoReturn:
    """One pod as it is; several with their names before each line."""
    if not facts.server_pods:
        raise PluginError(f"{facts.full_name} has no pods yet: kubectl cmod why {facts.name}")
    container = names.UNPACK_CONTAINER if part == UNPACK else names.SERVER_CONTAINER
    pods = [str(pod["metadata"]["name"]) for pod in facts.server_pods]
    selector = f"{names.LABEL_MODEL}={facts.name},{names.LABEL_COMPONENT}={names.COMPONENT_SERVER}"
    several = (f"--selector={selector}", "--prefix", f"--max-log-requests={len(pods)}")
    which = several if len(pods) > 1 else (pods[0],)
    kubectl.become("logs", *which, f"--container={container}", *options)


def _dump(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def main() -> None:
    """The entry point `kubectl-cmod`."""
    sys.exit(run())


if __name__ == "__main__":
    main()
