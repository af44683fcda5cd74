"""Decoding, resizing and normalising JPEGs: this project against Pillow, on one core, in turns.

Run: python tests/oracle/image_speed.py [picture.jpg ...] (needs pillow < 13, numpy and cargo; without pictures it makes
a 640x480 one). Prints milliseconds for each step, and by how much the two inputs of the model differ.
"""

import io
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).parents[2]
ROUNDS, TURNS = 50, 5
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def decode(data):
    return Image.open(io.BytesIO(data)).convert("RGB")


def resize(image):
    return image.resize((448, 448), Image.BICUBIC)


def normalise(image):
    values = np.asarray(image).transpose(2, 0, 1).astype(np.float32)
    values /= np.float32(255)
    values -= MEAN[:, None, None]
    values /= STD[:, None, None]
    return values


def milliseconds(step):
    start = time.perf_counter()
    for _ in range(ROUNDS):
        step()
    return (time.perf_counter() - start) * 1e3 / ROUNDS


def pillow_times(data):
    image = decode(data)
    small = resize(image)
    return [milliseconds(lambda: decode(data)), milliseconds(lambda: resize(image)),
            milliseconds(lambda: normalise(small))]


def example(*arguments):
    command = ["cargo", "run", "-q", "--release", "-p", "mllmseg-data", "--example", "preprocess_speed", "--"]
    return subprocess.run([*command, *map(str, arguments)], cwd=ROOT, check=True, capture_output=True,
                          text=True).stdout.split()


def compare(path, folder):
    data = path.read_bytes()
    output = folder / "input.f32"
    example(path, 1, output)
    ours = np.fromfile(output, "<f4").reshape(3, 448, 448)
    levels = np.abs(ours - normalise(resize(decode(data)))) * STD[:, None, None] * 255
    levels = levels.round().astype(int)
    print(f"{path.name}: equal {np.mean(levels == 0):.4%}, at most 1 level apart {np.mean(levels <= 1):.4%}, "
          f"worst {levels.max()} levels, mean {levels.mean():.4f}")
    turns = [(pillow_times(data), [float(word) for word in example(path, ROUNDS)[1::2]]) for _ in range(TURNS)]
    pillow, rust = (np.median([turn[side] for turn in turns], axis=0) for side in (0, 1))
    for name, a, b in zip(("decode", "resize", "normalise", "together"), [*pillow, pillow.sum()], [*rust, rust.sum()]):
        print(f"  {name:10} Pillow {a:6.2f} ms   here {b:6.2f} ms   {a / b:.2f} times as fast")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        paths = [pathlib.Path(path).resolve() for path in sys.argv[1:]]
        if not paths:
            rng = np.random.default_rng(0)
            coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8))
            paths = [folder / "made_640x480.jpg"]
            coarse.resize((640, 480), Image.BICUBIC).save(paths[0], quality=90)
        for path in paths:
            compare(path, folder)


if __name__ == "__main__":
    main()
