"""Golden cases of planning: read strictly, so that a misspelt or forgotten field fails the test that uses it.

A case is a folder with `model.yaml`, `observation.yaml` and `plan.yaml`. An observation is written as the dataclass,
plus `now`, `settings`, `refusals` where the API server does not take something of the plan, and `refused_read` where it
does not let the operator look; instead of repeating what another case gives, it says:
  like: CASE                         what that case observes, with the other fields merged in (null removes)
  status: {from: CASE}               the status that stands after that case's plan
  children: {from: CASE, …}          the objects that stand after it, with the fields of `…` merged in (null removes)
  attempts: [{attempt: 0, …}]        job and build_hash are those that the model asks for, where they are not stated
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pydantic
import yaml

from model_operator import names
from model_operator.api.v1alpha1 import CompressedModel, parse_model
from model_operator.errors import InvalidModelError
from model_operator.observation import Children, Observation
from model_operator.planning.decision import Plan, Refusal
from model_operator.planning.job import hash_build
from model_operator.planning.ownership import CHILD_KINDS
from model_operator.planning.plan import plan, plan_invalid, plan_unseen
from model_operator.planning.report import Report, plan_report
from model_operator.settings import Settings

FOLDER = Path(__file__).parents[1] / "golden"


_WHOLE = {"children", "status", "settings"}


class Case(NamedTuple):
    """One case, ready to be planned."""

    body: Mapping[str, Any]
    """The model as the API server gives it, without its status."""
    observation: Observation
    settings: Settings
    now: datetime
    refusals: tuple[Refusal, ...] = ()
    refused_read: str = ""
    """The API server's words, where it does not let the operator look."""

    @property
    def model(self) -> CompressedModel:
        """The model of a case that is a valid one."""
        return parse_model(self.body)

    def plan(self) -> Plan:
        """What planning says to it, with the status that is written in the end."""
        result = self._plan()
        if not self.refusals:
            return result
        return dataclasses.replace(result, status=self._report(result).status)

    def events(self) -> tuple[Mapping[str, Any], ...]:
        """The Events that are written with the status."""
        return self._report(self._plan()).events

    def _plan(self) -> Plan:
        if self.refused_read:
            return plan_unseen(self.observation, self.refused_read, self.now)
        try:
            return plan(self.model, self.observation, self.settings, self.now)
        except InvalidModelError as error:
            return plan_invalid(self.observation, str(error), self.now)

    def _report(self, result: Plan) -> Report:
        metadata = {**self.body["metadata"], "uid": self.observation.uid}
        body = {**self.body, "metadata": metadata, "status": self.observation.status}
        return plan_report(body, result, self.refusals, self.now)


def list_cases() -> list[str]:
    return sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


@functools.cache
def load_case(name: str) -> Case:
    """The case of that name, with everything that it takes from others."""
    body = _load(FOLDER / name / "model.yaml")
    stated = _load_observation(name)
    now = parse_value(stated.pop("now"), datetime, f"{name}.now")
    settings = Settings(**stated.pop("settings", {}))
    refusals = parse_value(stated.pop("refusals", []), tuple[Refusal, ...], f"{name}.refusals")
    refused_read = stated.pop("refused_read", "")
    stated["status"] = _load_status(stated.get("status", {}))
    stated["children"] = load_children(stated.get("children", {}))
    for attempt in stated.get("attempts", ()):
        _complete_attempt(attempt, parse_model(body), settings)
    return Case(body, parse_value(stated, Observation, name), settings, now, refusals, refused_read)


def format_case(case: Case) -> dict[str, Any]:
    """Its plan as plain data, and the Events as text; what is empty is left out."""
    result = case.plan()
    fields = {field.name: _format_value(getattr(result, field.name)) for field in dataclasses.fields(result)}
    fields["events"] = [f"{event['type']} {event['reason']}: {event['message']}" for event in case.events()]
    return {name: value for name, value in fields.items() if value not in (None, [], ())}


def read_plan(name: str) -> Any:
    return _load(FOLDER / name / "plan.yaml")


def write_plan(name: str, document: Any) -> None:
    text = yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True)
    (FOLDER / name / "plan.yaml").write_text(text, encoding="utf-8")


def merge(base: Any, change: Any) -> Any:
    """JSON merge patch (RFC 7386)."""
    if not isinstance(change, Mapping):
        return change
    merged = dict(base) if isinstance(base, Mapping) else {}
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def _load(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  a SafeLoader


class _Loader(yaml.CSafeLoader):
    """YAML without dates: times stay the text that they are in JSON."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _load_status(stated: Mapping[str, Any]) -> Mapping[str, Any]:
    if "from" not in stated:
        return stated
    before = load_case(stated["from"])
    written = before.plan().status
    return merge(written if written is not None else before.observation.status, _rest(stated))


def load_children(stated: Mapping[str, Any]) -> dict[str, Any]:
    """The live objects that a case starts from, by the fields of `Children`."""
    children: dict[str, Any] = {}
    if "from" in stated:
        before = load_case(stated["from"])
        children = {
            field.name: live
            for field in dataclasses.fields(Children)
            if (live := getattr(before.observation.children, field.name)) is not None
        }
        attributes = dict(CHILD_KINDS)
        for applied in before.plan().apply:
            field_name = attributes[applied["kind"]]
            children[field_name] = merge(children.get(field_name), applied)
    return dict(merge(children, _rest(stated)))


def _load_observation(name: str) -> dict[str, Any]:
    stated = _load(FOLDER / name / "observation.yaml")
    if "like" not in stated:
        return dict(stated)
    own = {key: value for key, value in stated.items() if key != "like"}
    # These are taken whole: a null in them removes what the case that they are taken from has.
    return dict(merge(_load_observation(stated["like"]), own)) | {key: own[key] for key in _WHOLE & own.keys()}


def _rest(stated: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in stated.items() if key != "from"}


def _complete_attempt(attempt: dict[str, Any], model: CompressedModel, settings: Settings) -> None:
    recipe = model.recipe()
    assert recipe is not None
    attempt.setdefault("build_hash", hash_build(recipe, model.spec, settings))
    attempt.setdefault("job", names.build_job_name(recipe.digest, attempt["build_hash"], attempt["attempt"]))


def parse_value(value: Any, kind: Any, path: str) -> Any:  # noqa: PLR0911  one for each kind of annotation
    """The value as an annotation of observation.py asks for it; an unknown field or another type is an error."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _parse_union(value, arguments, path)
    if dataclasses.is_dataclass(kind):
        return _parse_dataclass(value, kind, path)
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        return _parse_model(value, kind, path)
    if origin is typing.Literal:
        assert value in arguments, f"{path} is {value!r}; it must be one of {arguments}"
        return value
    if origin in (tuple, frozenset):
        return origin(parse_value(item, arguments[0], f"{path}[{index}]") for index, item in enumerate(value))
    if kind is datetime:
        return datetime.fromisoformat(value)
    if kind is float:
        assert isinstance(value, int | float), f"{path} is {value!r}; it must be a number"
        return float(value)
    expected = Mapping if origin is not None else kind
    assert isinstance(value, expected), f"{path} is {value!r}; it must be a {expected}"
    return value


def _parse_union(value: Any, kinds: tuple[Any, ...], path: str) -> Any:
    """The first alternative that fits; None only where it is one."""
    if value is None:
        assert type(None) in kinds, f"{path} must not be null"
        return None
    problems = []
    for kind in kinds:
        if kind is not type(None):
            try:
                return parse_value(value, kind, path)
            except AssertionError as error:
                problems.append(str(error))
    raise AssertionError("; ".join(problems))


def _parse_dataclass(value: Any, kind: Any, path: str) -> Any:
    assert isinstance(value, Mapping), f"{path} is {value!r}; it must be a mapping"
    hints = typing.get_type_hints(kind)
    unknown = sorted(value.keys() - hints.keys())
    assert not unknown, f"{path} has no field {', '.join(unknown)}"
    required = {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    missing = sorted(required - value.keys())
    assert not missing, f"{path} lacks {', '.join(missing)}"
    return kind(**{name: parse_value(part, hints[name], f"{path}.{name}") for name, part in value.items()})


def _parse_model(value: Any, kind: type[pydantic.BaseModel], path: str) -> Any:
    parsed = kind.model_validate(value)
    assert parsed.model_dump(mode="json", by_alias=True, exclude_unset=True) == value, f"{path} has an unknown field"
    return parsed


def _format_value(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, tuple):
        return [_format_value(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _format_value(item) for key, item in value.items()}
    return list(map(_format_value, value)) if isinstance(value, list) else value
