"""What every part of the API shares. Pure."""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

from model_operator.api import rules
from model_operator.api.rules import ApiRule


def _add_rules(schema: dict[str, Any], model: type[BaseModel]) -> None:
    if issubclass(model, ApiObject) and model.rules:
        schema |= rules.render_rules(*model.rules)


class ApiObject(BaseModel):
    """What every part of the API shares: camelCase on the wire, frozen, exact types, unknown fields ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        frozen=True,
        extra="ignore",
        strict=True,
        use_attribute_docstrings=True,
        json_schema_extra=_add_rules,
    )
    rules: ClassVar[tuple[ApiRule, ...]] = ()
    """How its fields must fit together."""

    @model_validator(mode="after")
    def _check_rules(self) -> Self:
        for rule in self.rules:
            rule.check(self)
        return self
