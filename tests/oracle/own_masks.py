"""Writes data/tests/fixtures/own_masks.json: one mask as every kind of PNG, and the pixels that count by Pillow.

A pixel counts if it is neither black nor fully transparent; 16-bit values are taken whole.

Run: python tests/oracle/own_masks.py (needs pillow and numpy).
"""

import io
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image

OUT = pathlib.Path(__file__).parents[2] / "data/tests/fixtures/own_masks.json"
WIDTH, HEIGHT = 11, 7

y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
SHAPE = ((x - 4) ** 2 + (y - 3) ** 2 < 9) | ((x == 10) & (y % 2 == 0))


def palette(indices, colours, **options):
    image = Image.fromarray(indices.astype(np.uint8), "P")
    image.putpalette(sum(map(list, colours), []))
    return image, options


def pictures():
    one = SHAPE.astype(np.uint8)
    yield "1 bit", Image.fromarray(SHAPE), {}
    yield "grey, 255", Image.fromarray(one * 255), {}
    yield "grey, 1", Image.fromarray(one), {}
    yield "grey, several objects", Image.fromarray(one * (1 + x % 3).astype(np.uint8)), {}
    yield "grey, 16 bit, 1", Image.fromarray(one.astype(np.uint16)), {}
    yield "grey, 16 bit, 256", Image.fromarray(one.astype(np.uint16) * 256), {}
    yield "grey, transparent value", Image.fromarray(one * 9 + (x == 0) * np.uint8(7)), {"transparency": 7}
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    rgb[..., 2] = one
    yield "colour, blue 1", Image.fromarray(rgb), {}
    alpha = np.where(SHAPE, 1, 0).astype(np.uint8)
    white = np.full((HEIGHT, WIDTH), 255, np.uint8)
    yield "grey and alpha, alpha decides", Image.fromarray(np.stack([white, alpha], -1)), {}
    yield "grey and alpha, grey decides", Image.fromarray(np.stack([one * 3, white], -1)), {}
    yield "colour and alpha", Image.fromarray(np.dstack([white, white, white, alpha])), {}
    yield "colour and alpha, black is no target", Image.fromarray(np.dstack([rgb, white])), {}
    voc = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (224, 224, 192)]
    yield ("palette", *palette(one * (1 + x % 3), voc))
    yield ("palette, white first", *palette(1 - one, [(255, 255, 255), (0, 0, 0)]))
    yield ("palette, transparent entry", *palette(one, [(9, 9, 9), (255, 0, 0)], transparency=b"\x00\xff"))
    yield ("palette, 1 bit", *palette(one, voc[:2], bits=1))


def mask_of(file):
    image = Image.open(io.BytesIO(file))
    if image.mode.startswith("I"):
        return np.array(image) != 0
    rgba = np.array(image.convert("RGBA"))
    return (rgba[..., :3] != 0).any(-1) & (rgba[..., 3] != 0)


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def main():
    cases = []
    for name, image, options in pictures():
        buffer = io.BytesIO()
        image.save(buffer, "PNG", **options)
        file = buffer.getvalue()
        mask = mask_of(file)
        assert (mask == SHAPE).all(), name
        pixels = "".join("01"[int(pixel)] for pixel in mask.ravel())
        cases.append({"name": name, "header": file[24:26].hex(), "file": file.hex(), "mask": pixels})
    # A header that promises 20000 x 5000 pixels of 4 channels, and nothing after it.
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20000, 5000, 8, 6, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    cases = {"size": [WIDTH, HEIGHT], "cases": cases, "bomb": bomb.hex()}
    OUT.write_text(json.dumps(cases, indent=1) + "\n")
    print(len(cases["cases"]), "masks")


main()
