from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.protocol.file_names import MAX_NAME_CHARS, clean_file_name, render_disposition


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("report.pdf", "report.pdf"),
        ("relatório  final.pdf", "relatório final.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.txt", "a.txt"),
        ("a\r\nSet-Cookie: b.txt", "aSet-Cookie: b.txt"),
        ("gpj.\u202eexe", "gpj.exe"),
        ("`rm`.sh", "'rm'.sh"),
        ("", "file"),
        ("..", "file"),
        ("\0", "file"),
        ("a/", "file"),
        ("汉" * 200 + ".docx", "汉" * 94 + "….docx"),
        ("x" * 50 + "." + "y" * 90, "x" * 50 + "." + "y" * 48 + "…"),
    ],
)
def test_a_name_is_made_plain(name: str, clean: str) -> None:
    assert clean_file_name(name) == clean


@given(st.text(max_size=400))
def test_a_clean_name_is_one_short_line_that_stays_as_it_is(name: str) -> None:
    clean = clean_file_name(name)
    assert 0 < len(clean) <= MAX_NAME_CHARS
    assert len(clean.splitlines()) == 1
    assert not set("/\\`\0") & set(clean)
    assert clean_file_name(clean) == clean
    clean.encode("utf-8")


@given(st.text(max_size=400))
def test_no_name_breaks_out_of_its_header(name: str) -> None:
    header = render_disposition(name)
    assert header.isascii()
    assert header.isprintable()
    head, _, value = header.partition("UTF-8''")
    assert head == "attachment; filename*="
    assert not set('";, \\') & set(value)
    assert unquote(value) == clean_file_name(name)
