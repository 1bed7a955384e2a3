"""The text of a Slack message as a person reads it: also where a message is all blocks, attachments or files.

`read_text` keeps Slack's own markup (`<@U1>`, `<https://x|label>`), because names have to be looked up first:
`find_ids` says which, and `name_ids` puts them in. None of the three raises for any JSON.

Sources: https://docs.slack.dev/reference/block-kit/blocks, https://docs.slack.dev/legacy/legacy-messaging/
reference-for-secondary-message-attachments, https://docs.slack.dev/messaging/formatting-message-text.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from slack_mcp.protocol.answers import string
from slack_mcp.protocol.mrkdwn import escape, unescape

MAX_DEPTH: Final = 12
DELETED: Final = "[message deleted]"
_MARKUP: Final = re.compile(r"<([^<>\n]*)>")
_ID: Final = re.compile(r"[A-Z][A-Z0-9]{1,30}")
# Begun at the `<`, so that a text that is all `|` is not read to its end for each of them.
_LABEL: Final = re.compile(r"(<[^<>|]*)\|[^<>]*>")
_NO_WORD: Final = re.compile(r"[\W_]+")
_STYLES: Final = (("code", "`"), ("bold", "*"), ("italic", "_"), ("strike", "~"))
_BROADCASTS: Final = frozenset({"here", "channel", "everyone"})
# What a block shows, in the order in which it shows it; each is a text, or a text object, or a list of them.
_SHOWN: Final = ("title", "label", "text", "subtitle", "body", "description", "fields", "elements", "details", "output")
_ATTACHED: Final = ("pretext", "author_name", "title", "text")
_KIB: Final = 1024


class Ids(NamedTuple):
    """Whose names a text needs."""

    users: frozenset[str]
    channels: frozenset[str]


def read_text(message: Mapping[str, Any]) -> str:
    """Return what a message says, in Slack's markup; empty when it says nothing.

    Where the blocks say what the text says, or less, it is the text; otherwise the blocks, which are what Slack shows.
    """
    subtype = message.get("subtype")
    if subtype == "message_deleted":
        return DELETED
    inner = message.get("message")
    if subtype == "message_changed" and isinstance(inner, Mapping):
        message = inner
    text = string(message.get("text")).strip()
    blocks = _join(_read_block(each, 0) for each in _mappings(message.get("blocks")))
    parts = [text if not blocks or _Said([text]).has(blocks) else blocks]
    said = _Said(parts)
    for attachment in _mappings(message.get("attachments")):
        further = [part for part in _read_attachment(attachment) if part and not said.has(part)]
        said.add(further)
        parts += further
    return _join(parts + [_read_file(each) for each in _mappings(message.get("files"))])


def find_ids(text: str) -> Ids:
    """Return the people and channels that a text names by id alone; what carries its name needs no other."""
    users, channels = set(), set()
    for markup in _MARKUP.findall(text):
        target, _, label = markup.partition("|")
        if _ID.fullmatch(target[1:]) and not (label and target[0] == "#"):
            if target[0] == "@":
                users.add(target[1:])
            elif target[0] == "#":
                channels.add(target[1:])
    return Ids(frozenset(users), frozenset(channels))


def name_ids(text: str, users: Mapping[str, str], channels: Mapping[str, str]) -> str:
    """Return the text in plain characters: mentions with `@` and `#`, links with their label, nothing escaped.

    Args:
        text: in Slack's markup.
        users: names by id; whoever is not in it keeps the id.
        channels: the same, names without `#`.
    """
    return unescape(_MARKUP.sub(lambda found: _name(found.group(1), users, channels), text))


def _name(markup: str, users: Mapping[str, str], channels: Mapping[str, str]) -> str:
    target, _, label = markup.partition("|")
    match target[:1]:
        case "@":
            return f"@{users.get(target[1:]) or label.removeprefix('@') or target[1:]}"
        case "#":
            return f"#{channels.get(target[1:]) or label.removeprefix('#') or target[1:]}"
        case "!":
            return _name_special(target[1:], label)
        case "":
            return label
    address = target.removeprefix("mailto:").removeprefix("tel:")
    # Slack makes `<http://example.com|example.com>` of what somebody typed as example.com.
    if not label or label == address or target in {f"http://{label}", f"https://{label}"}:
        return label if label and "://" not in target else target if "://" in target else address
    return f"{label} ({address})"


def _name_special(target: str, label: str) -> str:
    """Return `<!here>`, `<!subteam^S1|@handle>`, `<!date^1700000000^{date}|fallback>` as a person reads them."""
    kind, *rest = target.split("^")
    if kind == "date":
        return label or _read_date(rest[0] if rest else "")
    if kind == "subteam":
        return f"@{label.removeprefix('@') or (rest[0] if rest else kind)}"
    return f"@{kind}" if kind in _BROADCASTS else label or f"@{kind}"


def _read_date(seconds: str) -> str:
    try:
        return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%MZ")
    except (ValueError, OverflowError, OSError):
        return seconds


class _Said:
    """What was said so far, each part folded once: a message may have hundreds of attachments."""

    def __init__(self, parts: Sequence[str]) -> None:
        self._text = ""
        self._words = " "
        self.add(parts)

    def add(self, parts: Sequence[str]) -> None:
        """Say more."""
        self._text = "\n".join([self._text, *parts])
        self._words += "".join(f"{words} " for part in parts if (words := _fold(part)))

    def has(self, part: str) -> bool:
        """Tell whether the words of a part were said in the same order, whatever stood between them."""
        words = _fold(part)
        return f" {words} " in self._words if words else part in self._text


def _fold(text: str) -> str:
    """Return the words alone, a blank between them."""
    return _NO_WORD.sub(" ", _LABEL.sub(r"\1>", text)).strip().casefold()


def _read_block(block: Mapping[str, Any], depth: int) -> str:
    if depth > MAX_DEPTH:
        return ""
    read = _BLOCKS.get(string(block.get("type")))
    return read(block, depth) if read else _read_shown(block, depth)


def _read_shown(block: Mapping[str, Any], depth: int) -> str:
    """Return the texts of a block that has no rule of its own: sections, headers, inputs, cards and what comes yet."""
    return _join(_read_object(block.get(name), depth + 1) for name in _SHOWN)


def _read_object(value: Any, depth: int) -> str:
    """Return the text of a text object, of a list of them, or of a text that stands where an object could."""
    if depth > MAX_DEPTH:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Mapping):
        if value.get("type") == "plain_text" or value.get("type") == "raw_text":
            return _plain(value.get("text"))
        return _read_block(value, depth)
    return _join(_read_object(each, depth + 1) for each in value) if isinstance(value, list) else ""


def _read_header(block: Mapping[str, Any], depth: int) -> str:
    text = _read_object(block.get("text"), depth + 1)
    return f"*{text}*" if text else ""


def _read_context(block: Mapping[str, Any], depth: int) -> str:
    return " ".join(filter(None, (_read_object(each, depth + 1) for each in _list(block.get("elements")))))


def _read_button(element: Mapping[str, Any], depth: int) -> str:
    label = _read_object(element.get("text") or element.get("placeholder"), depth + 1)
    return f"[{label}]" if label else ""


def _read_image(block: Mapping[str, Any], depth: int) -> str:
    title = _read_object(block.get("title"), depth + 1) or _plain(block.get("alt_text"))
    return f"[image: {title}]" if title else "[image]"


def _read_table(block: Mapping[str, Any], depth: int) -> str:
    rows = (
        " | ".join(_read_object(cell, depth + 1).replace("\n", " ") for cell in _list(row))
        for row in _list(block.get("rows"))
    )
    return "\n".join(rows)


def _read_rich_text(block: Mapping[str, Any], depth: int) -> str:
    return _join((_read_block(each, depth + 1) for each in _mappings(block.get("elements"))), strip=False)


def _read_rich_section(block: Mapping[str, Any], _depth: int) -> str:
    return "".join(_read_inline(each) for each in _mappings(block.get("elements"))).rstrip("\n")


def _read_rich_list(block: Mapping[str, Any], depth: int) -> str:
    indent, offset = (_int(block.get(name)) for name in ("indent", "offset"))
    is_ordered = block.get("style") == "ordered"
    lines = []
    for number, each in enumerate(_mappings(block.get("elements")), start=offset + 1):
        mark = f"{number}." if is_ordered else "•"
        lines.append(f"{'    ' * min(indent, MAX_DEPTH)}{mark} {_read_block(each, depth + 1)}")
    return "\n".join(lines)


def _read_rich_quote(block: Mapping[str, Any], depth: int) -> str:
    return "\n".join(f"&gt; {line}" for line in _read_rich_section(block, depth).split("\n"))


def _read_rich_code(block: Mapping[str, Any], depth: int) -> str:
    return f"```\n{_read_rich_section(block, depth)}\n```"


def _read_inline(element: Mapping[str, Any]) -> str:
    """Return an element of a rich text. https://docs.slack.dev/reference/block-kit/blocks/rich-text-block."""
    read = _INLINE.get(string(element.get("type")))
    text = read(element) if read else _plain(element.get("text"))
    style = element.get("style")
    if not text.strip() or not isinstance(style, Mapping):
        return text
    for name, mark in _STYLES:
        if style.get(name) is True:
            text = f"{mark}{text}{mark}"
    return text


def _read_link(element: Mapping[str, Any]) -> str:
    url = string(element.get("url")).replace("<", "%3C").replace(">", "%3E").replace("|", "%7C").replace("\n", "")
    label = _plain(element.get("text"))
    return f"<{url}|{label}>" if label else f"<{url}>"


def _read_emoji(element: Mapping[str, Any]) -> str:
    tone = _int(element.get("skin_tone"))
    name = _plain(element.get("name"))
    return f":{name}::skin-tone-{tone}:" if tone else f":{name}:"


def _read_date_element(element: Mapping[str, Any]) -> str:
    return _plain(element.get("fallback")) or _read_date(str(_int(element.get("timestamp"))))


def _read_attachment(attachment: Mapping[str, Any]) -> Sequence[str]:
    """Return what an attachment says, part by part; its fallback only when it says nothing else."""
    parts = [_read_object(attachment.get(name), 0) for name in _ATTACHED]
    link = string(attachment.get("title_link"))
    if parts[2] and link and "|" not in link:
        parts[2] = f"<{link}|{parts[2]}>"
    parts += [_read_field(each) for each in _mappings(attachment.get("fields"))]
    parts += [_read_block(each, 0) for each in _mappings(attachment.get("blocks"))]
    parts += [
        _read_block(each, 0)
        for shared in _mappings(attachment.get("message_blocks"))
        for each in _mappings(_get(shared.get("message"), "blocks"))
    ]
    if not any(parts):
        parts.append(string(attachment.get("fallback")).strip())
    parts.append(string(attachment.get("footer")).strip())
    return parts


def _read_field(field: Mapping[str, Any]) -> str:
    title, value = (string(field.get(name)).strip() for name in ("title", "value"))
    return ": ".join(filter(None, (title, value)))


def _read_file(file: Mapping[str, Any]) -> str:
    """Return a file's name, type, size and id. https://docs.slack.dev/reference/objects/file-object."""
    if string(file.get("mode")) in {"tombstone", "hidden_by_limit"}:
        return "[file: deleted or hidden]"
    name = _plain(file.get("name") or file.get("title")) or "unnamed"
    size = _int(file.get("size"))
    details = (
        _plain(file.get("mimetype") or file.get("filetype")),
        f"{-(-size // _KIB)} KiB" if size else "",
        _plain(file.get("id")),
    )
    return f"[file: {name} ({', '.join(filter(None, details))})]"


def _join(parts: Iterable[str], *, strip: bool = True) -> str:
    return "\n".join(part.strip() if strip else part for part in parts if part.strip())


def _plain(value: Any) -> str:
    """Return a text in which nothing is markup. Slack escapes some of these texts and not others: `&` stays."""
    return escape(string(value)).replace("&amp;", "&")


def _int(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _mappings(value: Any) -> Iterable[Mapping[str, Any]]:
    return (each for each in _list(value) if isinstance(each, Mapping))


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _nothing(_block: Mapping[str, Any], _depth: int) -> str:
    return ""


_BLOCKS: Final[Mapping[str, Callable[[Mapping[str, Any], int], str]]] = MappingProxyType(
    {
        "header": _read_header,
        "context": _read_context,
        "actions": _read_context,
        "button": _read_button,
        "image": _read_image,
        "table": _read_table,
        "divider": _nothing,
        "rich_text": _read_rich_text,
        "rich_text_section": _read_rich_section,
        "rich_text_list": _read_rich_list,
        "rich_text_quote": _read_rich_quote,
        "rich_text_preformatted": _read_rich_code,
    }
)
_INLINE: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = MappingProxyType(
    {
        "user": lambda each: f"<@{_plain(each.get('user_id'))}>",
        "channel": lambda each: f"<#{_plain(each.get('channel_id'))}>",
        "usergroup": lambda each: f"<!subteam^{_plain(each.get('usergroup_id'))}>",
        "broadcast": lambda each: f"<!{_plain(each.get('range'))}>",
        "color": lambda each: _plain(each.get("value")),
        "link": _read_link,
        "emoji": _read_emoji,
        "date": _read_date_element,
    }
)
