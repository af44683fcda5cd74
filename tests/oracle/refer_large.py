"""Writes a refcoco of the size of COCO 2014 under ROOT, and times Python's own reading of it.

Usage: python3 tests/oracle/refer_large.py make ROOT    (about 450 MB; not to be committed)
       python3 tests/oracle/refer_large.py read ROOT    (json + pickle: seconds and peak memory)
"""
import json
import pickle
import random
import resource
import sys
import time
from pathlib import Path

IMAGES, ANNOTATIONS, REFS, SENTENCES = 82_783, 604_907, 50_000, 3
WORDS = "the left right man woman in red blue shirt cat dog on table near big small of and white".split()


def annotation(number, image_id, rng):
    if number % 100 == 0:
        runs = [rng.randrange(1, 900) for _ in range(600)]
        runs.append(640 * 480 - sum(runs)) if sum(runs) < 640 * 480 else runs.append(0)
        shape = {"counts": runs, "size": [sum(runs), 1]}
    else:
        parts = 1 + (rng.random() < 0.15)
        shape = [
            [round(rng.uniform(0, 640), 2) for _ in range(2 * rng.randrange(10, 55))] for _ in range(parts)
        ]
    box = [round(rng.uniform(0, 300), 2) for _ in range(4)]
    return {
        "segmentation": shape, "area": rng.uniform(10, 90000), "iscrowd": int(number % 100 == 0),
        "image_id": image_id, "bbox": box, "category_id": rng.randrange(1, 91), "id": 1000 + number * 3,
    }


def make(root):
    from refer_pickles import python2_binary

    rng = random.Random(1)
    folder = root / "refcoco"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "instances.json").open("w") as file:
        file.write('{"info": {"year": 2014}, "images": [')
        for i in range(IMAGES):
            name = f"COCO_train2014_{7 * i + 9:012}.jpg"
            record = {
                "license": 5, "file_name": name, "coco_url": f"http://images.cocodataset.org/train2014/{name}",
                "height": 480, "width": 640, "date_captured": "2013-11-14 16:28:13",
                "flickr_url": "http://farm4.staticflickr.com/3153/2970773875_164f0c0b83_z.jpg", "id": 7 * i + 9,
            }
            file.write((", " if i else "") + json.dumps(record))
        file.write('], "licenses": [], "annotations": [')
        order = list(range(ANNOTATIONS))
        rng.shuffle(order)
        for i, number in enumerate(order):
            record = annotation(number, 7 * (number % IMAGES) + 9, rng)
            file.write((", " if i else "") + json.dumps(record))
        names = [{"supercategory": "s", "id": i, "name": f"name{i}"} for i in range(1, 91)]
        file.write('], "categories": ' + json.dumps(names) + "}")
    refs = []
    for number in range(REFS):
        target = number * 11 + 1
        sentences = []
        for index in range(SENTENCES):
            tokens = [rng.choice(WORDS).encode() for _ in range(rng.randrange(2, 7))]
            sent = b" ".join(tokens)
            sent_id = number * SENTENCES + index
            sentences.append({b"tokens": tokens, b"raw": sent, b"sent_id": sent_id, b"sent": sent})
        refs.append({
            b"sent_ids": [s[b"sent_id"] for s in sentences],
            b"file_name": f"COCO_train2014_{number:012}_16.jpg".encode(), b"ann_id": 1000 + target * 3,
            b"ref_id": number, b"image_id": 7 * (target % IMAGES) + 9, b"split": b"train",
            b"sentences": sentences, b"category_id": 1,
        })
    (folder / "refs(unc).p").write_bytes(python2_binary(refs))


def read(root):
    start = time.perf_counter()
    with (root / "refcoco/refs(unc).p").open("rb") as file:
        refs = pickle.load(file, encoding="latin1")
    with_refs = time.perf_counter()
    with (root / "refcoco/instances.json").open() as file:
        instances = json.load(file)
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(refs)} refs in {with_refs - start:.2f} s")
    print(f"{len(instances['annotations'])} annotations in {end - with_refs:.2f} s")
    print(f"peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    {"make": make, "read": read}[sys.argv[1]](Path(sys.argv[2]))
