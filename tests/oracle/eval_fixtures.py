"""Writes tests/fixtures/eval: small data sets in the published layout with drawn predictions, and the numbers
that NumPy and pycocotools compute for them.

    pip install numpy pycocotools==2.0.11 Pillow
    python tests/oracle/eval_fixtures.py [OUT [SEED [REFS]]]

The data sets hold the oddities of the published ones: polygons of several parts, outside the image, of two
points; run lengths plain, compressed and in a list; crowds; empty masks; text and float ids; combined splits;
refs without words; expressions with several targets or none. The numbers are computed from what Python reads
back from the written files: masks by pycocotools, every metric from its definition.
"""
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pycocotools.mask as coco
from PIL import Image, ImageDraw

from refer_pickles import python2_binary, python2_text

OUT = Path(__file__).resolve().parents[1] / "fixtures/eval"
PICTURES = {"refclef": "images/saiapr_tc-12"}
COCO_PICTURES = "images/mscoco/images/train2014"
SPLITS = {
    "refcoco": ["val", "testA", "testB"],
    "refcoco+": ["testA"],
    "refcocog": ["val", "test"],
    "refclef": ["test", "testB"],
    "grefcoco": ["val", "testA"],
}
WORDS = ["left", "right", "red", "woman", "man", "dog", "the", "big", "café", "two", "<b>", "in front"]


# ---- drawing the data sets -------------------------------------------------------------------------------------


def draw_image(random, path, kind):
    width, height = int(random.integers(40, 97)), int(random.integers(30, 81))
    picture = Image.new("RGB", (width, height), tuple(int(v) for v in random.integers(0, 256, 3)))
    pen = ImageDraw.Draw(picture)
    for _ in range(4):
        x1, y1, x2, y2 = (int(v) for v in random.integers(0, min(width, height), 4))
        colour = tuple(int(v) for v in random.integers(0, 256, 3))
        box = [min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)]
        (pen.ellipse if random.random() < 0.5 else pen.rectangle)(box, fill=colour)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "grey":
        picture = picture.convert("L")
    if kind == "png":
        picture.save(path, "PNG")  # under a name that ends in .jpg
    elif kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6  # a viewer would turn it; the annotations do not
        picture.save(path, "JPEG", quality=70, exif=exif)
    else:
        picture.save(path, "JPEG", quality=70)
    return width, height


def polygon(random, width, height, reach=0.15):
    points = []
    for _ in range(int(random.integers(3, 9))):
        points += [round(float(v), 2) for v in random.uniform(-reach, 1 + reach, 2) * [width, height]]
    return points


def segmentation(random, kind, width, height):
    mask = np.zeros((height, width), np.uint8, order="F")
    top, left = int(random.integers(0, height - 8)), int(random.integers(0, width - 8))
    mask[top : top + int(random.integers(4, height)), left : left + int(random.integers(4, width))] = 1
    encoded = coco.encode(mask)
    text = {"size": [height, width], "counts": encoded["counts"].decode()}
    plain = {"size": [height, width], "counts": runs(mask)}
    return {
        "polygon": [polygon(random, width, height)],
        "parts": [polygon(random, width, height, 0) for _ in range(3)] + [[1.0, 2.0, 3.0, 4.0], [5.0, 5.0]],
        "outside": [[-40.0, -40.0, -10.0, -40.0, -10.0, -5.0]],
        "nothing": [],
        "text": text,
        "plain": plain,
        "list": [text],
        "square": [[10.0, 10.0, 20.0, 10.0, 20.0, 20.0, 10.0, 20.0]],
    }[kind]


def runs(mask):
    flat = mask.flatten(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return lengths if flat[0] == 0 else [0] + lengths


def draw_set(random, name, refs):
    general, clef = name == "grefcoco", name == "refclef"
    images, annotations, entries = [], [], []
    kinds = ["plain", "grey", "png", "turned", "plain", "plain"]
    for index in range(max(6, refs // 4)):
        image_id = 1000 + 7 * index
        file = f"{image_id}.jpg" if clef else f"COCO_train2014_{SETS.index(name)}{image_id:011}.jpg"
        path = Path(PICTURES.get(name, COCO_PICTURES)) / file
        width, height = draw_image(random, OUT / path, kinds[index % 6])
        images.append({"id": image_id, "file_name": file, "width": width, "height": height})
    shapes = ["polygon", "parts", "polygon", "text", "plain", "square", "polygon", "outside", "nothing", "list"]
    for index in range(refs):
        image = images[int(random.integers(0, len(images)))] if index >= len(images) else images[index]
        shape = "list" if clef and index % 2 else shapes[index % len(shapes)]
        if shape == "list" and not clef:
            shape = "text"
        drawn = segmentation(random, shape, image["width"], image["height"])
        box = box_of(truth_mask([drawn], image["height"], image["width"]))
        if shape in ("polygon", "text"):
            box = [round(v + float(random.uniform(-3, 3)), 2) for v in box]
        number = f"{image['id']}_{index}" if clef else 900100000000 + index if index % 9 == 8 else 50 + index
        annotations.append({
            "id": number, "image_id": image["id"], "category_id": 1, "bbox": box, "area": 1.5,
            "iscrowd": int(shape == "plain"), "segmentation": drawn,
        })
    marks = {"refcoco": ["val", "testA", "testB", "testA", "testAB", "train"], "refcocog": ["val", "test", "train"],
             "refclef": ["testA", "testB", "testC", "testBC"]}.get(name, ["val", "testA", "testA", "val", "testA"])
    sentence = 0
    for index, target in enumerate(annotations):
        own, image_id = [target["id"]], target["image_id"]
        if general:
            others = [a["id"] for a in annotations if a["image_id"] == image_id and a["id"] != own[0]]
            own = [own, own + others[:2], [-1]][index % 3]
        elif index % 7 == 3 and not clef:
            own = float(own[0])  # some files hold floats
        else:
            own = own[0].encode() if clef else own[0]
        sentences = []
        for _ in range(0 if index == 11 else int(random.integers(1, 4))):
            text = " ".join(random.choice(WORDS, int(random.integers(1, 6))))
            sentences.append({"tokens": text.split(), "raw": text.upper(), "sent": text, "sent_id": sentence})
            sentence += 1
        entries.append({
            "ref_id": index, "ann_id": own, "image_id": image_id, "split": marks[index % len(marks)],
            "category_id": [-1] if own == [-1] else 1, "file_name": f"{image_id}_{index}.jpg",
            "sentences": sentences, "sent_ids": [s["sent_id"] for s in sentences],
        })
        if general:
            entries[-1]["no_target"] = own == [-1]
    write_set(name, entries, {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]})


SETS = list(SPLITS)


def write_set(name, entries, instances):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "instances.json").write_text(json.dumps(instances))
    if name == "grefcoco":
        (folder / "grefs(unc).json").write_text(json.dumps(entries))
        return
    write = python2_text if name in ("refcoco+", "refclef") else python2_binary
    by = "umd" if name == "refcocog" else "unc"
    (folder / f"refs({by}).p").write_bytes(write([as_bytes(entry) for entry in entries]))


def as_bytes(value):
    """Python 2's strings: bytes where they are ASCII, Unicode where they are not."""
    if isinstance(value, str):
        return value.encode() if value.isascii() else value
    if isinstance(value, dict):
        return {as_bytes(key): as_bytes(entry) for key, entry in value.items()}
    return [as_bytes(entry) for entry in value] if isinstance(value, list) else value


# ---- reading them back -----------------------------------------------------------------------------------------


def truth_mask(segmentations, height, width):
    mask = np.zeros((height, width), bool)
    for drawn in segmentations:
        parts = drawn if isinstance(drawn, list) else [drawn]
        for part in parts:
            if isinstance(part, list):
                if len(part) < 6:
                    continue
                encoded = coco.merge(coco.frPyObjects([part], height, width))
            elif isinstance(part["counts"], list):
                encoded = coco.frPyObjects(part, height, width)
            else:
                encoded = part
            mask |= coco.decode(encoded).astype(bool)
    return mask


def box_of(mask):
    return [float(v) for v in coco.toBbox(coco.encode(np.asfortranarray(mask, np.uint8)))]


def expressions(name, split):
    """What the split asks, in the order of the file: dicts with ids, image, masks' material."""
    folder = OUT / name
    instances = json.loads((folder / "instances.json").read_text())
    if name == "grefcoco":
        entries = json.loads((folder / "grefs(unc).json").read_text())
    else:
        with next(folder.glob("refs(*).p")).open("rb") as file:
            entries = pickle.load(file, encoding="utf-8")
    images = {image["id"]: image for image in instances["images"]}
    annotations = {a["id"]: a for a in instances["annotations"]}
    rows = []
    for entry in entries:
        marked = entry["split"]
        member = {"test": "test" in marked, "testA": "A" in marked, "testB": "B" in marked}.get(split, marked == split)
        targets = entry["ann_id"] if isinstance(entry["ann_id"], list) else [entry["ann_id"]]
        targets = [annotations[t] for t in targets if t != -1]
        image = images[entry["image_id"]]
        for sentence in entry["sentences"] if member else []:
            rows.append({
                "ref_id": entry["ref_id"], "sent_id": sentence["sent_id"], "image": image["id"],
                "box": targets[0]["bbox"] if targets else None, "has_target": bool(targets),
                "truth": truth_mask([t["segmentation"] for t in targets], image["height"], image["width"]),
            })
    return rows


def predict(random, row, general):
    """A prediction of any quality, in any of the forms that are allowed."""
    truth = row["truth"]
    height, width = truth.shape
    kind = random.integers(0, 8)
    mask = truth.copy()
    if kind == 0:
        mask[:] = False
    elif kind == 1:
        mask[:, : width // 2] ^= True
    elif kind < 7:
        shift = [int(v) for v in random.integers(-6, 7, 2)]
        mask = np.roll(mask, shift, (0, 1))
        if kind == 6:
            mask ^= random.random((height, width)) < 0.1
    if truth.sum() == 100 and random.random() < 0.6:  # the square: IoU and box IoU of exactly a half
        mask = truth.copy()
        mask[np.flatnonzero(truth.any(1))[:5]] = False
    entry = {"ref_id": row["ref_id"], "sent_id": row["sent_id"], "score": 0.5}
    if random.random() < 0.3:
        entry["segmentation"] = {"size": [height, width], "counts": runs(mask)}
    else:
        text = coco.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
        entry["segmentation"] = {"counts": text, "size": [height, width]}
    rejected = random.random() < (0.7 if not row["has_target"] else 0.15 if general else 0.05)
    if rejected or random.random() < 0.5:
        entry["rejected"] = bool(rejected)
    if random.random() < 0.2:
        entry["model"] = {"name": "drawn", "tags": [1, None]}
    return entry


# ---- the numbers -----------------------------------------------------------------------------------------------


def iou(a, b):
    union = np.logical_or(a, b).sum()
    return np.logical_and(a, b).sum() / union if union else 0.0


def box_iou(mask, box, extra):
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return 0.0
    x1, y1, x2, y2 = columns.min(), rows.min(), columns.max() + extra, rows.max() + extra
    bx1, by1, bx2, by2 = box[0], box[1], box[0] + box[2], box[1] + box[3]
    shared = max(0, min(x2, bx2) - max(x1, bx1)) * max(0, min(y2, by2) - max(y1, by1))
    union = (x2 - x1) * (y2 - y1) + max(0, bx2 - bx1) * max(0, by2 - by1) - shared
    return shared / union if union > 0 else 0.0


def mean(rows, values, per_image):
    images, values = np.array([row["image"] for row in rows]), np.array(values)
    if not per_image:
        return 100 * values.mean()
    return 100 * np.mean([values[images == image].mean() for image in np.unique(images)])


def share(flags):
    return 100 * float(np.mean(flags)) if len(flags) else None


def referring(rows, released):
    masks = [row["mask"] if released or not row["rejected"] else np.zeros_like(row["mask"]) for row in rows]
    ious = np.array([iou(mask, row["truth"]) for mask, row in zip(masks, rows)])
    boxes = np.array([box_iou(mask, row["box"], 0 if released else 1) for mask, row in zip(masks, rows)])
    intersections = sum(int((mask & row["truth"]).sum()) for mask, row in zip(masks, rows))
    unions = sum(int((mask | row["truth"]).sum()) for mask, row in zip(masks, rows))
    report = {"n": len(rows), "ciou": 100 * intersections / unions, "miou": mean(rows, ious, released)}
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.9):
        report[f"prec@{threshold}"] = share(ious >= threshold)
    report["rec_prec@0.5"] = share(boxes > 0.5)
    return report


def generalized(rows, released):
    ious, intersections, unions, right_without, right_with = [], 0, 0, [], []
    for row in rows:
        mask, truth = row["mask"], row["truth"]
        has_target = bool(truth.any()) if released else row["has_target"]
        if not has_target:
            ious.append(float(row["rejected"]))
            unions += 0 if row["rejected"] else int(mask.sum())
            right_without.append(row["rejected"])
            continue
        seen = mask if released or not row["rejected"] else np.zeros_like(mask)
        ious.append(iou(seen, truth))
        intersections += int((seen & truth).sum())
        unions += int((seen | truth).sum())
        right_with.append(not row["rejected"])
    return {
        "n": len(rows), "giou": mean(rows, ious, released), "ciou": 100 * intersections / unions,
        "n_acc": share(right_without), "t_acc": share(right_with),
    }


def numbers(name, split, predictions, released):
    rows = expressions(name, split)
    by_key = {(p["ref_id"], p["sent_id"]): p for p in predictions}
    assert len(by_key) == len(predictions) == len(rows)
    for row in rows:
        entry = by_key[row["ref_id"], row["sent_id"]]
        row["mask"] = truth_mask([entry["segmentation"]], *row["truth"].shape)
        row["rejected"] = entry.get("rejected", False)
    if released:  # the first expression of each image
        seen = set()
        rows = [row for row in rows if not (row["image"] in seen or seen.add(row["image"]))]
    return (generalized if name == "grefcoco" else referring)(rows, released)


def main():
    global OUT
    OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    random = np.random.default_rng(int(sys.argv[2]) if len(sys.argv) > 2 else 20250801)
    refs = int(sys.argv[3]) if len(sys.argv) > 3 else 24
    results = {}
    for name in SETS:
        draw_set(random, name, refs)
        for split in SPLITS[name]:
            rows = expressions(name, split)
            predictions = [predict(random, row, name == "grefcoco") for row in rows]
            order = random.permutation(len(predictions))
            predictions = [predictions[i] for i in order]  # any order will do
            path = OUT / f"predictions/{name}_{split}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(predictions, indent=None))
            read = json.loads(path.read_text())
            results[f"{name} {split}"] = {
                protocol: numbers(name, split, read, protocol == "released") for protocol in ("standard", "released")
            }
    (OUT / "expected.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
