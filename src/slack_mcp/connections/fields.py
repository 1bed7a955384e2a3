"""The kinds of fields that a saved configuration is made of, and what is said of a mistake in one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from slack_mcp.connections.policy import is_channel_id, is_user_id
from slack_mcp.core.errors import InvalidInputError

MAX_LIST_ENTRIES: Final = 200

# Pydantic's own words for these name classes and Python types.
_PLAIN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "missing": "is required",
        "model_type": "must be an object",
        "tuple_type": "must be a list",
        "extra_forbidden": "is no setting",
    }
)


def is_blank(value: object) -> bool:
    """Tell whether this is a text in which nothing can be read."""
    return isinstance(value, str) and not value.strip()


def is_untouched(value: object) -> bool:
    """Tell whether this is what the form sends for a field, or an added line, that nobody filled in."""
    if isinstance(value, Mapping):
        return all(map(is_untouched, value.values()))
    return value is None or value == [] or is_blank(value)


def drop_empty_lines(value: object) -> object:
    """Return a list without its untouched lines; nothing as an empty list."""
    if isinstance(value, list):
        return [item for item in value if not is_untouched(item)]
    return () if value is None else value


def check_storable(text: str) -> str:
    """Return the text when a database can store it; raises ValueError."""
    if "\x00" in text:
        raise ValueError("must not hold a NUL character")  # PostgreSQL stores none
    return text


def read_channel_id(text: str) -> str:
    """Return a channel's id without the blanks around it; raises ValueError."""
    channel = text.strip()
    if not is_channel_id(channel):
        raise ValueError(
            "must be a channel's id such as C0123456789 (at the end of 'View channel details'), not its name"
        )
    return channel


def read_user_id(text: str) -> str:
    """Return a person's id without the blanks around it; raises ValueError."""
    user = text.strip()
    if not is_user_id(user):
        raise ValueError("must be a person's id such as U0123456789 ('Copy member ID' in the profile), not a name")
    return user


class Part(BaseModel):
    """A part of a configuration. Keys that are not ours belong to the seed's form, or to a newer one."""

    model_config = ConfigDict(extra="ignore", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)


class Section(Part):
    """A part of which nothing is required as a whole: an untouched field has its default."""

    @model_validator(mode="before")
    @classmethod
    def _drop_untouched(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {key: each for key, each in value.items() if each is not None and not is_blank(each)}


class Restrictions(Section):
    """A section that restricts. Under another name a restriction restricts nothing: that is a mistake, and is told."""

    model_config = ConfigDict(extra="forbid")


class Binding(Section):
    """A reference to something of Mesh. States of older forms hold the id as `id`."""

    kind: Any = Field(default=None, alias="__type")
    value: "Text | None" = None
    id: "Text | None" = None

    @property
    def target(self) -> str | None:
        """The id, None when nothing is chosen."""
        return self.value or self.id


Text = Annotated[str, AfterValidator(check_storable)]
ChannelIdText = Annotated[str, AfterValidator(read_channel_id)]
ChannelList = Annotated[
    tuple[ChannelIdText, ...], BeforeValidator(drop_empty_lines), Field(max_length=MAX_LIST_ENTRIES)
]
UserList = Annotated[
    tuple[Annotated[str, AfterValidator(read_user_id)], ...],
    BeforeValidator(drop_empty_lines),
    Field(max_length=MAX_LIST_ENTRIES),
]
ToolList = Annotated[
    tuple[Annotated[str, AfterValidator(str.strip)], ...],
    BeforeValidator(drop_empty_lines),
    Field(max_length=MAX_LIST_ENTRIES),
]


def render_mistakes(error: ValidationError) -> InvalidInputError:
    """Return the error that names every mistake there is, and no value."""
    mistakes = [_render_mistake(dict(detail)) for detail in error.errors(include_url=False, include_input=False)]
    return InvalidInputError(" ".join(["Nothing was saved.", *mistakes]))


def _render_mistake(detail: Mapping[str, Any]) -> str:
    """Return one sentence: where, and what must be there."""
    path = ".".join(str(part) for part in detail["loc"])
    said = detail["msg"].removeprefix("Value error, ").replace("Input should", "must").replace("Value should", "must")
    return f"{path} {_PLAIN.get(detail['type'], said)}."
