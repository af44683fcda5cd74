"""Writes data/tests/fixtures/image/resize.json: Pillow's own bicubic outputs on images made by a formula.

The formula is repeated in data/src/image/resample.rs, so only a CRC-32 of every output byte and a few sampled
pixels are stored. Run: python tests/oracle/image_resize.py (needs numpy and pillow < 13: from version 13 Pillow
resizes rows before columns when the height shrinks much more than the width, which changes a third of such a picture's
values by a level or more; every MLLMSeg checkpoint was trained with columns first).
"""

import json
import pathlib
import zlib

import numpy as np
import PIL
from PIL import Image

OUT = pathlib.Path(__file__).parents[2] / "data/tests/fixtures/image/resize.json"

# pattern, width, height, resized width, resized height
CASES = [
    ("noise", 640, 480, 448, 448),
    ("smooth", 640, 480, 448, 448),
    ("noise", 427, 640, 448, 448),
    ("smooth", 500, 333, 448, 448),
    ("noise", 97, 61, 448, 448),
    ("noise", 448, 448, 448, 448),
    ("noise", 448, 300, 448, 448),
    ("noise", 300, 448, 448, 448),
    ("noise", 1, 1, 448, 448),
    ("noise", 1, 37, 448, 448),
    ("noise", 53, 1, 448, 448),
    ("noise", 2, 3, 5, 7),
    ("noise", 3000, 2000, 448, 448),
    ("noise", 4001, 7, 33, 65),
    ("noise", 640, 480, 1, 1),
    ("checker", 640, 480, 448, 448),
    ("checker", 31, 17, 448, 448),
    ("checker", 449, 447, 448, 448),
    ("noise", 448, 448, 896, 896),
]


def picture(pattern, width, height):
    y, x, c = np.meshgrid(
        np.arange(height, dtype=np.uint32),
        np.arange(width, dtype=np.uint32),
        np.arange(3, dtype=np.uint32),
        indexing="ij",
    )
    if pattern == "noise":
        v = (x * np.uint32(73856093)) ^ (y * np.uint32(19349663)) ^ (c * np.uint32(83492791))
        v = (v ^ (v >> np.uint32(13))) * np.uint32(0x5BD1E995)
        v = v ^ (v >> np.uint32(15))
    elif pattern == "smooth":
        v = (x * np.uint32(3) + y * np.uint32(5) + c * np.uint32(40)) // np.uint32(7)
    else:  # checker: black and white only, so the filter's overshoot is clipped everywhere
        v = ((x // np.uint32(3) + y // np.uint32(2) + c) % np.uint32(2)) * np.uint32(255)
    return (v & np.uint32(255)).astype(np.uint8)


def main():
    if int(PIL.__version__.split(".")[0]) >= 13:
        raise SystemExit(f"Pillow {PIL.__version__} resizes in another order: install pillow<13")
    cases = []
    for pattern, width, height, to_width, to_height in CASES:
        source = picture(pattern, width, height)
        out = np.asarray(Image.fromarray(source).resize((to_width, to_height), Image.BICUBIC))
        places = [(0, 0), (to_width // 2, to_height // 3), (to_width - 1, to_height - 1)]
        cases.append({
            "pattern": pattern,
            "from": [width, height],
            "to": [to_width, to_height],
            "source_crc32": zlib.crc32(source.tobytes()),
            "crc32": zlib.crc32(out.tobytes()),
            "pixels": [[px, py, *map(int, out[py, px])] for px, py in places],
        })
    lines = ",\n".join("  " + json.dumps(case) for case in cases)
    OUT.write_text(f'{{"pillow": "{PIL.__version__}", "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
