"""Writes data/tests/fixtures/image/decode.json: small files of every kind, and the RGB pixels Pillow reads from them.

Run: python tests/oracle/image_decode.py (needs pillow and numpy).
"""

import io
import json
import pathlib
import struct
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps

OUT = pathlib.Path(__file__).parents[2] / "data/tests/fixtures/image/decode.json"
WIDTH, HEIGHT = 13, 9


def smooth_picture():
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = [20 + 15 * x, 30 + 20 * y, 120 + 8 * x - 9 * y]
    return Image.fromarray(np.stack(planes, -1).clip(0, 255).astype(np.uint8))


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(image, kind, orientation, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(image, kind, exif=exif.tobytes(), **options)


def png16(colour_type, channels, values):
    """A 16-bit PNG, which Pillow itself writes for grey only."""
    rows = values.astype(">u2").reshape(HEIGHT, WIDTH * channels)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def orientation_block(order, kind, value=6):
    """EXIF data with nothing but an orientation, in a type of one's choice."""
    codes = {1: "B", 3: "H", 4: "I", 5: "II", 6: "b", 7: "B", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d"}
    data = struct.pack(order + codes[kind], *([value, 1] if kind in (5, 10) else [value]))
    inline = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(order + "I", 26)
    head = b"MM\0*" if order == ">" else b"II*\0"
    entry = struct.pack(order + "IHHHI", 8, 1, 0x112, kind, 1) + inline
    return head + entry + struct.pack(order + "I", 0) + (data if len(data) > 4 else b"")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(png, kind, data, at_end=False):
    """A PNG with one chunk more, after the header or before the end."""
    at = len(png) - 12 if at_end else 33
    return png[:at] + chunk(kind, data) + png[at:]


def with_segments(jpeg, *segments):
    """A JPEG with APP1 segments before its other ones."""
    parts = [b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data for data in segments]
    return jpeg[:2] + b"".join(parts) + jpeg[2:]


def orientations(rgb):
    """Every place and type that an orientation may have. Values of 6 turn the picture unless Pillow ignores them."""
    jpeg = saved(rgb, "JPEG", quality=95, subsampling=0)
    png = saved(rgb, "PNG")
    exif, xmp = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
    for order in "><":
        for kind in (1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12):
            block = orientation_block(order, kind)
            yield f"orientation {order} {kind}", with_segments(jpeg, exif + block), 2
    block, long = orientation_block("<", 3), orientation_block("<", 4)
    attribute = b'<rdf:Description tiff:Orientation="8"/>'
    element = b"<tiff:Orientation>5</tiff:Orientation>"
    yield "orientation after xmp", with_segments(jpeg, xmp + attribute, exif + block), 2
    yield "orientation before xmp", with_segments(jpeg, exif + block, xmp + attribute), 2
    yield "orientation twice prefixed", with_segments(jpeg, exif + exif + block), 2
    yield "orientation in two segments", with_segments(jpeg, exif + block[:15], exif + block[15:]), 2
    yield "orientation 0 before xmp", with_segments(jpeg, exif + orientation_block("<", 3, 0), xmp + attribute), 2
    yield "orientation 9", with_segments(jpeg, exif + orientation_block("<", 3, 9)), 2
    yield "orientation in xmp", with_segments(jpeg, xmp + attribute), 2
    yield "orientation in an xmp element", with_segments(jpeg, xmp + element), 2
    yield "png orientation as long", with_chunk(png, b"eXIf", long), 0
    yield "png orientation after the pixels", with_chunk(png, b"eXIf", block, at_end=True), 0
    profile = f"\nexif\n{len(block):8}\n".encode() + block.hex().encode() + b"\n"
    key = b"Raw profile type exif\0"
    yield "png orientation in text", with_chunk(png, b"tEXt", key + profile), 0
    yield "png orientation in compressed text", with_chunk(png, b"zTXt", key + b"\0" + zlib.compress(profile)), 0
    xml = b"XML:com.adobe.xmp\0"
    yield "png orientation in xmp", with_chunk(png, b"iTXt", xml + b"\0\0\0\0" + attribute), 0
    yield "png orientation in compressed xmp", with_chunk(png, b"iTXt", xml + b"\1\0\0\0" + zlib.compress(element)), 0
    yield "webp orientation as long", saved(rgb, "WEBP", lossless=True, exif=long), 0
    yield "webp orientation in xmp", saved(rgb, "WEBP", lossless=True, xmp=attribute), 0
    for orientation in (3, 6, 7):
        yield f"tiff orientation {orientation}", saved(rgb, "TIFF", tiffinfo={274: orientation}), 0


def other_formats(rgb, grey, rgba):
    palette = rgb.quantize(16)
    yield "gif", saved(palette, "GIF"), 0
    yield "gif of two frames", saved(palette, "GIF", save_all=True, append_images=[grey.quantize(4)]), 0
    yield "gif, transparent entry", saved(palette, "GIF", transparency=3), 0
    yield "tiff", saved(rgb, "TIFF"), 0
    yield "tiff of two pages", saved(rgb, "TIFF", save_all=True, append_images=[grey]), 0
    yield "tiff grey", saved(grey, "TIFF"), 0
    yield "tiff 1 bit", saved(rgb.convert("1"), "TIFF"), 0
    yield "tiff rgba", saved(rgba, "TIFF"), 0
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield compression, saved(rgb, "TIFF", compression=compression), 0


def files():
    rgb = smooth_picture()
    grey = rgb.convert("L")
    alpha = Image.fromarray((np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH) * 2).astype(np.uint8))
    rgba = Image.merge("RGBA", (*rgb.split(), alpha))
    palette = rgb.quantize(16)

    # name, file, greatest difference allowed (decoders of lossy formats differ)
    yield "jpeg 4:4:4", saved(rgb, "JPEG", quality=95, subsampling=0), 2
    yield "jpeg 4:2:0", saved(rgb, "JPEG", quality=90, subsampling=2), 3
    yield "jpeg 4:2:2 progressive", saved(rgb, "JPEG", quality=90, subsampling=1, progressive=True), 3
    yield "jpeg grey", saved(grey, "JPEG", quality=90), 1
    yield "jpeg cmyk", saved(rgb.convert("CMYK"), "JPEG", quality=95), 3
    yield "jpeg 1x1", saved(rgb.crop((0, 0, 1, 1)), "JPEG", quality=95), 2
    yield "png rgb", saved(rgb, "PNG"), 0
    yield "png rgba", saved(rgba, "PNG"), 0
    yield "png grey", saved(grey, "PNG"), 0
    yield "png grey and alpha", saved(Image.merge("LA", (grey, alpha)), "PNG"), 0
    yield "png palette", saved(palette, "PNG"), 0
    yield "png palette, transparent entry", saved(palette, "PNG", transparency=3), 0
    yield "png palette, 2 bits", saved(rgb.quantize(4), "PNG", bits=2), 0
    yield "png 1 bit", saved(rgb.convert("1"), "PNG"), 0
    yield "png rgb, transparent colour", saved(rgb, "PNG", transparency=(20, 30, 120)), 0
    yield "png 1x1", saved(rgb.crop((0, 0, 1, 1)), "PNG"), 0
    wide = (np.arange(WIDTH * HEIGHT * 4, dtype=np.uint32) * 7919 % 65536).reshape(HEIGHT, WIDTH, 4)
    yield "png 16-bit rgb", png16(2, 3, wide[..., :3]), 0
    yield "png 16-bit rgba", png16(6, 4, wide), 0
    yield "png 16-bit grey and alpha", png16(4, 2, wide[..., :2]), 0
    yield "webp lossless", saved(rgb, "WEBP", lossless=True), 0
    yield "webp lossless rgba", saved(rgba, "WEBP", lossless=True, exact=True), 0
    yield "webp lossy", saved(rgb, "WEBP", quality=90), 2
    yield "bmp 24 bits", saved(rgb, "BMP"), 0
    yield "bmp palette", saved(palette, "BMP"), 0
    yield "bmp 1 bit", saved(rgb.convert("1"), "BMP"), 0
    yield "bmp grey", saved(grey, "BMP"), 0
    for orientation in range(1, 9):
        file = turned(rgb, "JPEG", orientation, quality=95, subsampling=0)
        yield f"jpeg exif {orientation}", file, 2
    yield "png exif 6", turned(rgb, "PNG", 6), 0
    yield "webp exif 8", turned(rgb, "WEBP", 8, lossless=True), 0
    yield from orientations(rgb)
    yield from other_formats(rgb, grey, rgba)


def main():
    cases = []
    rgb_size = (WIDTH, HEIGHT)
    for name, file, tolerance in files():
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(file))).convert("RGB")
        # Pillow turns a TIFF even where it is not asked to.
        stored = rgb_size if name.startswith("tiff orientation") else Image.open(io.BytesIO(file)).size
        cases.append({
            "name": name,
            "tolerance": tolerance,
            "file": file.hex(),
            "size": image.size,
            "rgb": image.tobytes().hex(),
            "stored_size": stored,
        })
    lines = ",\n".join("  " + json.dumps(case) for case in cases)
    OUT.write_text(f'{{"pillow": "{PIL.__version__}", "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
