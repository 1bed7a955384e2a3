"""The parsers by themselves, in this process, with files that do no harm."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import docx
import pytest
from attachment_fakes import make_docx, make_image, make_pdf, make_zip
from PIL import Image

from slack_mcp.attachments.formats import Format, Picture
from slack_mcp.attachments.outcomes import Reason
from slack_mcp.attachments.parse_docx import parse_docx
from slack_mcp.attachments.parse_image import MAX_SIDE_PX, parse_image
from slack_mcp.attachments.parse_pdf import MAX_PAGES, parse_pdf
from slack_mcp.attachments.worker import run


def look(content: bytes) -> tuple[Picture, Image.Image]:
    (picture,) = parse_image(content)
    assert isinstance(picture, Picture)
    return picture, Image.open(BytesIO(picture.content))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_every_format_of_models_is_taken(kind: str) -> None:
    picture, image = look(make_image(kind=kind))
    assert picture.mimetype == ("image/jpeg" if kind == "JPEG" else "image/png")
    assert image.size == (40, 20)


def test_a_large_image_becomes_small_and_keeps_its_shape() -> None:
    _, image = look(make_image(4000, 1000))
    assert image.size == (MAX_SIDE_PX, MAX_SIDE_PX // 4)


def test_what_the_camera_wrote_goes_and_what_was_up_stays_up() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x010F] = "canary camera"
    exif.get_ifd(0x8825)[1] = "N"
    picture, image = look(make_image(kind="JPEG", exif=exif.tobytes(), comment=b"canary comment"))
    assert image.size == (20, 40)
    assert not image.getexif()
    assert b"canary" not in picture.content


def test_a_noisy_screenshot_that_is_too_large_as_it_is_becomes_a_jpeg() -> None:
    output = BytesIO()
    noise = Image.effect_noise((800, 800), 100)
    Image.merge("RGBA", (noise, noise, noise, noise)).save(output, "PNG")
    picture, _ = look(output.getvalue())
    assert picture.mimetype == "image/jpeg"
    assert len(picture.content) < 3_500_000


def test_greys_of_16_bits_keep_their_shades() -> None:
    output = BytesIO()
    Image.linear_gradient("L").convert("I").point(lambda grey: grey * 256).convert("I;16").save(output, "PNG")
    _, image = look(output.getvalue())
    assert [image.getpixel((0, y)) for y in (0, 128, 255)] == [(0, 0, 0), (128, 128, 128), (255, 255, 255)]


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n", make_image()[:60], b"GIF89a" + bytes(20), b"RIFF0000WEBP"]
)
def test_a_damaged_image_is_broken(content: bytes) -> None:
    assert list(parse_image(content)) == [Reason.BROKEN]


def test_the_pages_of_a_pdf_come_one_by_one() -> None:
    assert list(parse_pdf(make_pdf(["one", "two"]))) == ["one\n\n", "two\n\n"]


def test_a_pdf_with_very_many_pages_is_cut() -> None:
    *texts, last = parse_pdf(make_pdf(["x"] * (MAX_PAGES + 5)))
    assert len(texts) == MAX_PAGES
    assert last is Reason.CUT


def test_a_pdf_with_a_password_is_locked_and_one_that_only_forbids_to_print_is_not() -> None:
    assert list(parse_pdf(make_pdf(password="secret"))) == [Reason.LOCKED]
    assert list(parse_pdf(make_pdf(["one"], password=""))) == ["one\n\n"]


def test_a_document_is_read_in_its_order_with_its_tables() -> None:
    document = docx.Document()
    document.add_paragraph("before")
    document.add_paragraph("  ")
    table = document.add_table(2, 3)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "wide"
    table.cell(0, 2).text = "two\nlines"
    document.add_paragraph("after")
    output = BytesIO()
    document.save(output)
    assert "".join(map(str, parse_docx(output.getvalue()))) == "before\nwide | two lines\n\nafter\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK\x03\x04", Reason.BROKEN),
        (make_zip({"readme.txt": b"canary"}), Reason.UNKNOWN_KIND),
        (make_zip({f"{number}": b"" for number in range(2_001)}), Reason.TOO_COSTLY),
        (make_zip({"word/document.xml": b" " * 20_000_001}), Reason.TOO_COSTLY),
        (make_zip({"word/media/a.bmp": bytes(100_000_001)}), Reason.TOO_COSTLY),
    ],
)
def test_an_archive_is_judged_before_it_is_unpacked(content: bytes, reason: Reason) -> None:
    assert list(parse_docx(content)) == [reason]


def run_worker(kind: Format, content: bytes, *, max_text_bytes: int = 1_000) -> list[Mapping[str, Any]]:
    lines: list[Mapping[str, Any]] = []
    run(kind, content, max_text_bytes=max_text_bytes, write=lines.append)
    return lines


def test_the_worker_tells_what_it_finds_and_that_nothing_is_missing() -> None:
    assert run_worker(Format.DOCX, make_docx("one")) == [{"text": "one\n"}, {"end": True}]
    assert run_worker(Format.PDF, make_pdf(["one"])) == [{"text": "one\n\n"}, {"end": True}]
    assert run_worker(Format.CANVAS, b"<h1>one</h1>") == [{"text": "# one"}, {"end": True}]
    assert run_worker(Format.IMAGE, make_image())[0]["mimetype"] == "image/png"
    assert run_worker(Format.IMAGE, b"") == [{"reason": Reason.BROKEN}, {"end": True}]


def test_the_worker_stops_at_the_limit_and_cuts_between_characters() -> None:
    lines = run_worker(Format.DOCX, make_docx("ééé", "never seen"), max_text_bytes=5)
    assert lines == [{"text": "éé"}, {"reason": Reason.CUT}, {"end": True}]
