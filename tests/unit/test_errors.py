"""The error tree is whole: drawn, named, coded, and told at both doors."""

import inspect
import re
from collections.abc import Iterator

from slack_mcp.core import errors
from slack_mcp.core.errors import SlackMcpError
from slack_mcp.tools.errors import TABLE
from slack_mcp.web.problems import STATUS


def walk(kind: type[SlackMcpError] = SlackMcpError, depth: int = 0) -> Iterator[tuple[type[SlackMcpError], int]]:
    """Yield the classes of the module in the order of their definition, each with its depth."""
    yield kind, depth
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from walk(child, depth + 1)


TREE = [kind for kind, _ in walk()]
LEAVES = {kind for kind in TREE if not any(other is not kind and issubclass(other, kind) for other in TREE)}


def test_every_class_of_the_module_is_in_the_tree_and_ends_in_error() -> None:
    defined = {
        value
        for _, value in inspect.getmembers(errors, inspect.isclass)
        if value.__module__ == errors.__name__ and issubclass(value, BaseException)
    }
    assert defined == set(TREE)
    assert all(kind.__name__.endswith("Error") for kind in TREE)


def test_every_code_is_one_class() -> None:
    codes = [kind.code for kind in TREE]
    assert sorted(set(codes)) == sorted(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


def test_every_class_names_its_own_code_and_says_what_it_is() -> None:
    for kind in TREE:
        assert "code" in vars(kind), kind
        assert vars(kind)["__doc__"], kind


def test_whether_to_try_again_is_said_of_leaves_alone() -> None:
    assert [kind for kind in TREE if kind.retryable and kind not in LEAVES] == []


def test_every_leaf_has_a_row_at_both_doors_and_nothing_else_has() -> None:
    assert set(STATUS) == LEAVES
    assert set(TABLE) == LEAVES


def test_the_docstring_draws_exactly_this_tree() -> None:
    drawn = []
    for line in str(errors.__doc__).splitlines():
        found = re.match(r"^ {4}([ │├└]*)(\w+Error)\b", line)
        if found:
            drawn.append((found[2], (len(found[1]) + 1) // 3))
    assert drawn == [(kind.__name__, depth) for kind, depth in walk()]
