"""Whether a cluster has what the operator needs: its CRD, its rights, a Prometheus that answers. Writes nothing.

It has an end also where namespaces are many and the API server is slow: one question a namespace tells of all rights,
only those that it does not tell of are asked for one by one, and what is not answered in time is a warning.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol

from model_operator import names
from model_operator.api.crd import render_crd
from model_operator.errors import PrometheusError
from model_operator.rights import GRANTS, Grant, Right, format_right, is_granted, list_rights

Result = Literal["ok", "warning", "missing"]

ASKED_AT_ONCE: Final = 16
PATIENCE_SECONDS: Final = 40.0
"""After it nothing more is asked; a kubelet gives the operator two minutes to answer its first probe."""
_SHOWN_FIELDS: Final = 5
_LEAST_MINOR: Final = 26
_SLOW_REMEDY: Final = "look why it is slow; what is refused later is in the operator's log"
_GRANT_REMEDY: Final = "grant it to the operator's service account"
_CRD_REMEDY: Final = "apply crds/ of this release"
_HEADINGS: Final = ("RESULT", "CHECK", "NAMESPACE", "DETAIL")


class Cluster(Protocol):
    """What is asked of the API server; every question is one that any authenticated user may ask."""

    def may(self, right: Right, namespace: str) -> bool:
        """Whether we have the right in the namespace; the empty one is all of them."""

    def list_rules(self, namespace: str) -> Sequence[Mapping[str, Any]]:
        """RBAC rules that allow us things in the namespace; empty where not all of them are known."""

    def read_version(self) -> str:
        """The API server's version, such as v1.34.1."""

    def read_user(self) -> str:
        """Who we are to the API server; empty where it does not say."""

    def read_served_versions(self) -> tuple[str, ...]:
        """The versions of our API group that are served."""

    def read_served_schema(self) -> Mapping[str, Any]:
        """The schema of a CompressedModel as it is served; empty where none is published."""


class Metrics(Protocol):
    """What is asked of Prometheus."""

    def query(self, query: str) -> object:
        """Its answer."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        check: what.
        namespace: where; empty: in the whole cluster.
        result: warning is what the operator can do without.
        detail: what was found, or what is lost.
        remedy: what to do; empty where it is well.
    """

    check: str
    result: Result
    namespace: str = ""
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Report:
    """Everything that was looked at.

    Attributes:
        user: who asked; empty where the API server does not say.
    """

    user: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether the operator can work here."""
        return all(check.result != "missing" for check in self.checks)


class _Question(NamedTuple):
    grant: Grant
    right: Right
    namespace: str


def inspect_cluster(cluster: Cluster, namespaces: Sequence[str], clock: Callable[[], float] = time.monotonic) -> Report:
    """Look for the CRD, and for every right in every namespace; no namespace means all of them.

    Raises:
        ClusterError: when the API server does not answer.
    """
    deadline = clock() + PATIENCE_SECONDS
    version = cluster.read_version()

    def ask(question: _Question) -> bool | None:
        """Whether the right is there; None where there is no time left."""
        if any(is_granted(question.right, rule) for rule in rules[question.namespace]):
            return True
        return cluster.may(question.right, question.namespace) if clock() < deadline else None

    with ThreadPoolExecutor(ASKED_AT_ONCE, thread_name_prefix="preflight") as pool:
        try:
            user, crd = pool.submit(cluster.read_user), pool.submit(lambda: list(_check_crd(cluster)))
            scopes = tuple(namespaces) or ("",)
            # What is granted in all namespaces no single one tells.
            known = pool.map(lambda each: cluster.list_rules(each) if each and clock() < deadline else (), scopes)
            rules = dict(zip(scopes, known, strict=True))
            questions = [
                _Question(grant, right, scope) for scope in scopes for grant in GRANTS for right in list_rights(grant)
            ]
            answers = dict(zip(questions, pool.map(ask, questions), strict=True))
            checks = [_check_version(version), *crd.result()]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for scope in scopes:
        checks += [check for grant in GRANTS for check in _check_grant(grant, scope, answers)]
        checks += _check_answers(scope, [answers[each] for each in questions if each.namespace == scope])
    return Report(user.result(), tuple(checks))


def check_prometheus(prometheus: Metrics | None) -> Check:
    """Whether KPIs can be read; without them models are built and served all the same."""
    if prometheus is None:
        return Check("Prometheus", "warning", "", "none is configured: KPIs stay Unknown", "set prometheus.url")
    try:
        prometheus.query("vector(1)")
    except PrometheusError as error:
        remedy = "correct prometheus.url or mend that server; KPIs stay Unknown meanwhile"
        return Check("Prometheus", "warning", "", str(error), remedy)
    return Check("Prometheus", "ok")


def format_findings(report: Report, result: Result) -> tuple[str, ...]:
    """One sentence for each check with that result."""
    return tuple(_format_sentence(check) for check in report.checks if check.result == result)


def format_table(report: Report) -> str:
    """What was looked at, as a table for people; what to do about it stands below."""
    rows = [_HEADINGS, *((each.result, each.check, each.namespace or "-", each.detail) for each in report.checks)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]
    user = [f"As {report.user}:"] if report.user else []
    remedies = [f"{each.result}: {_format_sentence(each)}" for each in report.checks if each.result != "ok"]
    return "\n".join([*user, *lines, *remedies, f"The operator can{'' if report.ok else 'not'} work here."])


def format_json(report: Report) -> str:
    """What was looked at, for programs."""
    document = {"ok": report.ok, "user": report.user, "checks": [asdict(check) for check in report.checks]}
    return json.dumps(document, indent=2)


def _format_sentence(check: Check) -> str:
    where = f" in namespace {check.namespace}" if check.namespace else ""
    said = f" {check.detail}" if check.detail else ""
    return f"{check.check}{where}{said}: {check.remedy}"


def _check_version(version: str) -> Check:
    """A version that cannot be read is none of our business."""
    name = "API server"
    major, _, rest = version.removeprefix("v").partition(".")
    minor = rest.partition(".")[0].rstrip("+")
    if major == "1" and minor.isdecimal() and int(minor) < _LEAST_MINOR:
        return Check(name, "missing", "", f"is {version}", f"upgrade it to v1.{_LEAST_MINOR} or newer")
    return Check(name, "ok", "", version)


def _check_crd(cluster: Cluster) -> Iterator[Check]:
    """The CRD, in our version, with every field that this operator reads or writes."""
    name = f"the CRD {names.CRD_NAME}"
    served = cluster.read_served_versions()
    if names.VERSION not in served:
        found = f"serves {', '.join(served)} and not {names.VERSION}" if served else "is missing"
        yield Check(name, "missing", "", found, _CRD_REMEDY)
        return
    schema = cluster.read_served_schema()
    if not schema:
        yield Check(name, "warning", "", "publishes no schema, so its age is unknown", _CRD_REMEDY)
        return
    lacking = find_lacking_fields(schema)
    if lacking:
        shown = ", ".join(lacking[:_SHOWN_FIELDS])
        more = f" and {len(lacking) - _SHOWN_FIELDS} more" if len(lacking) > _SHOWN_FIELDS else ""
        yield Check(name, "missing", "", f"is older than this operator, it has no {shown}{more}", _CRD_REMEDY)
        return
    yield Check(name, "ok", "", f"serves {names.VERSION}")


def find_lacking_fields(served: Mapping[str, Any]) -> list[str]:
    """Paths of the fields that this operator knows and the schema does not; of a part that is lacking, its root alone.

    Args:
        served: OpenAPI v3 schema of a CompressedModel.
    """
    (version,) = render_crd()["spec"]["versions"]
    wanted = version["schema"]["openAPIV3Schema"]["properties"]
    return [
        path
        for part in ("spec", "status")
        for path in _list_lacking(wanted[part], served.get("properties", {}).get(part), part)
    ]


def _list_lacking(wanted: Mapping[str, Any], served: Mapping[str, Any] | None, path: str) -> Iterator[str]:
    if served is None:
        yield path
        return
    if served.get("x-kubernetes-preserve-unknown-fields"):
        return
    for field, schema in (wanted.get("properties") or {}).items():
        yield from _list_lacking(schema, (served.get("properties") or {}).get(field), f"{path}.{field}")
    for nested, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(wanted.get(nested), Mapping):
            there = served.get(nested)
            yield from _list_lacking(wanted[nested], there if isinstance(there, Mapping) else None, f"{path}{mark}")


def _check_grant(grant: Grant, namespace: str, answers: Mapping[_Question, bool | None]) -> list[Check]:
    """One row for what is there, and one for each right that is not."""
    told = {right: answers[_Question(grant, right, namespace)] for right in list_rights(grant)}
    there = ", ".join(right.verb for right, answer in told.items() if answer)
    resource = format_right(Right(there, *list_rights(grant)[0][1:]))
    found = [Check(resource, "ok", namespace)] if there else []
    result: Result = "warning" if grant.optional else "missing"
    detail = f"is not allowed; {grant.reason}" if grant.optional else "is not allowed"
    lacking = [right for right, answer in told.items() if answer is False]
    return [*found, *(Check(format_right(right), result, namespace, detail, _GRANT_REMEDY) for right in lacking)]


def _check_answers(namespace: str, answers: Sequence[bool | None]) -> Iterator[Check]:
    """What is not known in a namespace, since the API server is too slow to be asked for all."""
    unanswered = answers.count(None)
    if unanswered:
        found = f"were not looked at: the API server did not answer for all within {PATIENCE_SECONDS:.0f} s"
        yield Check(f"{unanswered} of {len(answers)} rights", "warning", namespace, found, _SLOW_REMEDY)
