"""Why a file is not read, or not all of it, and the sentence for it."""

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.protocol.file_names import clean_file_name
from slack_mcp.protocol.mrkdwn import escape


class Reason(StrEnum):
    """What stands between a file and its text.

    Attributes:
        CUT: there is more in it than was read.
        TOO_LARGE: more bytes than are fetched.
        UNKNOWN_KIND: nothing here reads such files.
        BROKEN: it is not what it says it is, or damaged.
        LOCKED: it has a password.
        TOO_COSTLY: opening it takes more memory or time than there is.
        EMPTY: there is no text in it, or nothing is said.
        NOT_GIVEN: Slack does not hand it out.
        NO_TRANSCRIBER: nothing is set up that writes down what is said.
        NOT_REACHABLE: what writes it down cannot fetch it from here.
        NOT_HEARD: what writes it down failed.
        TOO_MANY_IMAGES: others are looked at already.
    """

    CUT = "cut"
    TOO_LARGE = "too_large"
    UNKNOWN_KIND = "unknown_kind"
    BROKEN = "broken"
    LOCKED = "locked"
    TOO_COSTLY = "too_costly"
    EMPTY = "empty"
    NOT_GIVEN = "not_given"
    NO_TRANSCRIBER = "no_transcriber"
    NOT_REACHABLE = "not_reachable"
    NOT_HEARD = "not_heard"
    TOO_MANY_IMAGES = "too_many_images"


_SENTENCES: Final = MappingProxyType(
    {
        Reason.CUT: Sentence.FILE_CUT,
        Reason.TOO_LARGE: Sentence.FILE_TOO_LARGE,
        Reason.UNKNOWN_KIND: Sentence.FILE_UNKNOWN_KIND,
        Reason.BROKEN: Sentence.FILE_BROKEN,
        Reason.LOCKED: Sentence.FILE_LOCKED,
        Reason.TOO_COSTLY: Sentence.FILE_TOO_COSTLY,
        Reason.EMPTY: Sentence.FILE_EMPTY,
        Reason.NOT_GIVEN: Sentence.FILE_NOT_GIVEN,
        Reason.NO_TRANSCRIBER: Sentence.FILE_NO_TRANSCRIBER,
        Reason.NOT_REACHABLE: Sentence.FILE_NOT_REACHABLE,
        Reason.NOT_HEARD: Sentence.FILE_NOT_HEARD,
        Reason.TOO_MANY_IMAGES: Sentence.FILE_TOO_MANY_IMAGES,
    }
)


def render_note(language: str, name: str, reason: Reason) -> str:
    """Return the sentence on a file, as Slack mrkdwn; nothing in its name is markup."""
    return render_sentence(language, _SENTENCES[reason], name=render_name(name))


def render_name(name: str) -> str:
    """Return what stands for a file's name between backquotes."""
    return escape(clean_file_name(name))
