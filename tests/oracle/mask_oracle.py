"""Writes data/tests/fixtures/mask/{shapes,pairs,resize}.bin from pycocotools and NumPy.

    pip install numpy pycocotools==2.0.11
    python tests/oracle/mask_oracle.py

shapes.bin  per shape three u32: CRC-32 of the bitmap's bytes row by row, of the RLE string, and of
            the text "area x y width height"
pairs.bin   per pair of masks five u32: CRC-32 of both RLE strings, of the union's, of the
            intersection's, and of the IoU as a little-endian f64
resize.bin  the values of each resized map in turn, f32 (of the largest every 97th)
"""

import struct
import zlib
from pathlib import Path

import numpy as np
import pycocotools.mask as coco
from mask_shapes import Random, random_pixels, shape

SHAPES = 12_000
PAIRS = 2_000
RESIZES = [
    ((7, 5), (13, 9)),
    ((4, 4), (4, 4)),
    ((14, 14), (31, 20)),
    ((32, 32), (10, 17)),
    ((1, 1), (5, 3)),
    ((1, 8), (4, 3)),
    ((9, 2), (3, 40)),
    ((33, 21), (100, 64)),
    ((448, 448), (480, 640)),
]
LARGE_STEP = 97
FIXTURES = Path(__file__).resolve().parents[2] / "data/tests/fixtures/mask"


def rasterize(height, width, parts):
    """The RLE of polygons as the data sets' readers make it."""
    kept = [part for part in parts if len(part) >= 6]
    if not kept:
        return coco.encode(np.zeros((height, width), np.uint8, order="F"))
    return coco.merge(coco.frPyObjects(kept, height, width))


def crc(data):
    return zlib.crc32(data if isinstance(data, bytes) else data.encode())


def shapes():
    for index in range(SHAPES):
        height, width, parts = shape(index)
        rle = rasterize(height, width, parts)
        bitmap = np.ascontiguousarray(coco.decode(rle))
        assert bitmap.shape == (height, width)
        box = [int(v) for v in coco.toBbox(rle)]
        measures = " ".join(str(v) for v in [int(coco.area(rle)), *box])
        yield struct.pack("<3I", crc(bitmap.tobytes()), crc(rle["counts"]), crc(measures))


def pairs():
    for index in range(PAIRS):
        _, _, *masks = random_pixels(index)
        a, b = (coco.encode(np.array(mask, np.uint8, order="F")) for mask in masks)
        union, intersection = coco.merge([a, b]), coco.merge([a, b], intersect=True)
        iou = struct.pack("<d", coco.iou([a], [b], [0])[0, 0])
        texts = [a["counts"], b["counts"], union["counts"], intersection["counts"], iou]
        yield struct.pack("<5I", *map(crc, texts))


def resize(values, to):
    """torch's bilinear interpolation without aligned corners or antialiasing, in f32."""

    def taps(source, target):
        scale = np.float32(source) / np.float32(target)
        place = scale * (np.arange(target, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
        place = np.maximum(place, np.float32(0))
        first = np.minimum(place.astype(np.int64), source - 1)
        weight = np.minimum(place - first.astype(np.float32), np.float32(1))
        return first, np.minimum(first + 1, source - 1), weight

    y0, y1, wy = taps(values.shape[0], to[0])
    x0, x1, wx = taps(values.shape[1], to[1])
    one, wy = np.float32(1), wy[:, None]
    wide = (one - wx) * values[:, x0] + wx * values[:, x1]
    return (one - wy) * wide[y0] + wy * wide[y1]


def resizes():
    for index, (source, target) in enumerate(RESIZES):
        random = Random(2_000_000 + index)
        values = np.array([random.uniform() for _ in range(source[0] * source[1])], np.float32)
        resized = resize(values.reshape(source), target).ravel()
        yield resized[:: LARGE_STEP if resized.size > 100_000 else 1].astype("<f4").tobytes()


if __name__ == "__main__":
    FIXTURES.mkdir(parents=True, exist_ok=True)
    for name, records in [("shapes", shapes()), ("pairs", pairs()), ("resize", resizes())]:
        (FIXTURES / f"{name}.bin").write_bytes(b"".join(records))
