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
    def chunk(kind, data):
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    rows = values.astype(">u2").reshape(HEIGHT, WIDTH * channels)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


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


def main():
    cases = []
    for name, file, tolerance in files():
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(file))).convert("RGB")
        stored = Image.open(io.BytesIO(file)).convert("RGB")
        cases.append({
            "name": name,
            "tolerance": tolerance,
            "file": file.hex(),
            "size": image.size,
            "rgb": image.tobytes().hex(),
            "stored_size": stored.size,
        })
    lines = ",\n".join("  " + json.dumps(case) for case in cases)
    OUT.write_text(f'{{"pillow": "{PIL.__version__}", "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
