"""The configuration that people fill in at Mesh, as it is read: credentials, bindings, and what they choose."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field, PlainValidator, ValidationError

from slack_mcp.connections.choices import Choices
from slack_mcp.connections.fields import Binding, Part, Section, Text, is_untouched, render_mistakes
from slack_mcp.core.secret import Secret

BOT_TOKEN_PREFIX: Final = "xoxb-"  # noqa: S105 - https://docs.slack.dev/authentication/tokens
USER_TOKEN_PREFIX: Final = "xoxp-"  # noqa: S105 - the same page


def _read_credential(value: object, sentence: str, prefix: str = "") -> Secret:
    """Return a credential without the blanks that copying leaves around it."""
    text = value.strip() if isinstance(value, str) else ""
    # It goes into an HTTP header or an HMAC key: anything but visible ASCII was not copied from Slack.
    if not (text.startswith(prefix) and text.isascii() and text.isprintable() and " " not in text and text):
        raise ValueError(sentence)
    return Secret(text)


def _read_bot_token(value: object) -> Secret:
    return _read_credential(
        value,
        f"must be the app's 'Bot User OAuth Token', which starts with {BOT_TOKEN_PREFIX} (OAuth & Permissions)",
        BOT_TOKEN_PREFIX,
    )


def _read_user_token(value: object) -> Secret | None:
    if is_untouched(value):
        return None
    return _read_credential(
        value,
        f"must be a 'User OAuth Token', which starts with {USER_TOKEN_PREFIX} (OAuth & Permissions), or nothing",
        USER_TOKEN_PREFIX,
    )


def _read_signing_secret(value: object) -> Secret:
    return _read_credential(value, "must be the app's 'Signing Secret' (Basic Information)")


class _Credentials(Part):
    bot_token: Annotated[Secret, PlainValidator(_read_bot_token)] = Field(alias="BOT_TOKEN")
    signing_secret: Annotated[Secret, PlainValidator(_read_signing_secret)] = Field(alias="SIGNING_SECRET")
    user_token: Annotated[Secret | None, PlainValidator(_read_user_token)] = Field(default=None, alias="USER_TOKEN")


class _Model(Section):
    id: Text | None = None


class _LanguageModel(Section):
    value: _Model = Field(default_factory=_Model)


class MeshState(Choices):
    """The whole configuration, checked."""

    credentials: _Credentials = Field(alias="SLACK_CREDENTIALS")
    agent: Binding = Field(default_factory=Binding, alias="AGENT")
    model_provider: Binding = Field(default_factory=Binding, alias="MODEL_PROVIDER")
    language_model: _LanguageModel = Field(default_factory=_LanguageModel, alias="LANGUAGE_MODEL")
    connection_name: Text | None = Field(default=None, alias="CONNECTION_NAME")
    system_prompt: Text | None = Field(default=None, alias="SYSTEM_PROMPT")

    @property
    def agent_id(self) -> str | None:
        """The agent that answers, None when none is chosen."""
        return self.agent.target

    @property
    def model_provider_id(self) -> str | None:
        """The model provider's connection, for the connections that were saved with one."""
        return self.model_provider.target

    @property
    def model_id(self) -> str | None:
        """The model, for the connections that were saved with one."""
        return self.language_model.value.id


def parse_state(state: Mapping[str, Any]) -> MeshState:
    """Return the configuration, checked as a whole.

    Raises:
        InvalidInputError: names every mistake there is, and no value.
    """
    try:
        return MeshState.model_validate(dict(state))
    except ValidationError as error:
        mistakes = render_mistakes(error)
    raise mistakes
