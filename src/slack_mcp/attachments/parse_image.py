"""An image as models take it: small, of a plain format, and without what the camera wrote beside it."""

from io import BytesIO
from typing import Final

from PIL import Image, ImageOps, UnidentifiedImageError

from slack_mcp.attachments.formats import Findings, Picture
from slack_mcp.attachments.outcomes import Reason

# What a model looks at is not larger: https://docs.claude.com/en/docs/build-with-claude/vision#evaluate-image-size.
MAX_SIDE_PX: Final = 1568
# The largest cameras of phones have 50 million; what is told before anything is unpacked.
MAX_PIXELS: Final = 51_000_000
# Of one image; models take about 5 MB in base64.
MAX_BYTES: Final = 3_500_000
_LOSSLESS_BYTES: Final = 1_500_000
_FORMATS: Final = ("PNG", "JPEG", "GIF", "WEBP")
_JPEG_QUALITIES: Final = (85, 60)


def parse_image(content: bytes) -> Findings:
    """Yield the first frame, at most 1 568 pixels on the long side."""
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        with Image.open(BytesIO(content), formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                yield Reason.TOO_COSTLY
                return
            picture = _render(image)
    except Image.DecompressionBombError:
        yield Reason.TOO_COSTLY
        return
    # Pillow's decoders raise these for whatever is wrong with the bytes.
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError):
        yield Reason.BROKEN
        return
    yield Reason.TOO_COSTLY if picture is None else picture


def _render(image: Image.Image) -> Picture | None:
    """Return the image anew, with its pixels alone; None when it stays too large."""
    is_photo = image.format == "JPEG"
    if image.mode.startswith("I"):
        # Greys of 16 bits, which nothing below takes.
        image = image.convert("I").point(lambda grey: grey * (1 / 256)).convert("L")
    image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), reducing_gap=2.0)
    # Which side is up stands in the metadata, which goes.
    turned = ImageOps.exif_transpose(image)
    has_alpha = turned.has_transparency_data
    pixels = turned.convert("RGBA" if has_alpha else "RGB")
    # A new image, since an encoder writes on what it finds beside the pixels of an old one.
    plain = Image.new(pixels.mode, pixels.size)
    plain.paste(pixels)
    if not is_photo:
        lossless = _encode(plain, "PNG", optimize=False)
        if len(lossless) <= _LOSSLESS_BYTES:
            return Picture(mimetype="image/png", content=lossless)
    if has_alpha:
        ground = Image.new("RGB", plain.size, "white")
        ground.paste(plain, mask=plain.getchannel("A"))
        plain = ground
    for quality in _JPEG_QUALITIES:
        encoded = _encode(plain, "JPEG", quality=quality)
        if len(encoded) <= MAX_BYTES:
            return Picture(mimetype="image/jpeg", content=encoded)
    return None


def _encode(image: Image.Image, kind: str, **options: int) -> bytes:
    output = BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()
