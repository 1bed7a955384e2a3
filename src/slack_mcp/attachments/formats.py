"""What the parsers read, and what the worker that runs them tells its parent. Light: the service imports it too."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from slack_mcp.attachments.outcomes import Reason


class Format(StrEnum):
    """A kind of file that only the worker opens."""

    IMAGE = "image"
    PDF = "pdf"
    DOCX = "docx"
    CANVAS = "canvas"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image as a model gets it."""

    mimetype: str
    content: bytes


Finding: TypeAlias = str | Picture | Reason
"""The next piece of a file's text, or its image; a reason is the last one."""

Findings: TypeAlias = Iterator[Finding]
