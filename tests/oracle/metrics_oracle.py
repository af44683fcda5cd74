"""Writes data/tests/fixtures/mask/metrics.json: all metrics over drawn predictions, with NumPy alone.

    pip install numpy pycocotools==2.0.11
    python tests/oracle/metrics_oracle.py

Every expression's masks stay in memory and each metric is computed from its definition; nothing is
accumulated as the Rust code does. `data/tests/mask_metrics.rs` draws the same expressions.
"""

import json

import numpy as np
import pycocotools.mask as coco
from mask_oracle import FIXTURES, rasterize
from mask_shapes import Random

EXPRESSIONS = 600


def expression(index):
    """(image, prediction, truth, annotated box, target?, rejected?)"""
    random = Random(3_000_000 + index)
    height, width = 8 + random.below(57), 8 + random.below(57)
    truth, prediction = [], []
    jitter = random.uniform()
    for _ in range(3 + random.below(4)):
        for side in (width, height):
            at = random.uniform()
            truth.append(at * side)
            prediction.append((at + (random.uniform() - 0.5) * jitter) * side)
    if random.below(10) == 0:
        prediction = []
    has_target = random.below(4) != 0
    rejected = random.below(3) == 0 if has_target else random.below(3) != 0
    masks = [coco.decode(rasterize(height, width, [p])).astype(bool) for p in (prediction, truth)]
    box = [float(v) for v in coco.toBbox(coco.encode(np.asfortranarray(masks[1], np.uint8)))]
    box = [v + random.below(9) / 4.0 for v in box]
    # Images of unequally many expressions, so that averaging over images shows.
    return index * index % 97, *masks, box, has_target, rejected


def iou(a, b):
    union = np.logical_or(a, b).sum()
    return np.logical_and(a, b).sum() / union if union else 0.0


def box_iou(mask, box, extra):
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return 0.0
    x1, y1 = columns.min(), rows.min()
    x2, y2 = columns.max() + extra, rows.max() + extra
    bx1, by1, bx2, by2 = box[0], box[1], box[0] + box[2], box[1] + box[3]
    shared = max(0, min(x2, bx2) - max(x1, bx1)) * max(0, min(y2, by2) - max(y1, by1))
    return shared / ((x2 - x1) * (y2 - y1) + (bx2 - bx1) * (by2 - by1) - shared)


def mean(images, values, per_image):
    images, values = np.array(images), np.array(values)
    if not per_image:
        return 100 * values.mean()
    return 100 * np.mean([values[images == image].mean() for image in np.unique(images)])


def referring(expressions, released):
    images = [e[0] for e in expressions]
    ious = np.array([iou(e[1], e[2]) for e in expressions])
    boxes = np.array([box_iou(e[1], e[3], 0 if released else 1) for e in expressions])
    intersections = sum(int((e[1] & e[2]).sum()) for e in expressions)
    unions = sum(int((e[1] | e[2]).sum()) for e in expressions)
    report = {"n": len(expressions), "ciou": 100 * intersections / unions}
    report["miou"] = mean(images, ious, released)
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.9):
        report[f"prec@{threshold}"] = 100 * (ious >= threshold).mean()
    report["rec_prec@0.5"] = 100 * (boxes > 0.5).mean()
    return report


def generalized(expressions, released):
    images, ious, intersections, unions = [], [], 0, 0
    for image, prediction, truth, _, has_target, rejected in expressions:
        images.append(image)
        if not has_target:
            ious.append(1.0 if rejected else 0.0)
            unions += 0 if rejected else int(prediction.sum())
            continue
        seen = prediction if released or not rejected else np.zeros_like(prediction)
        ious.append(iou(seen, truth))
        intersections += int((seen & truth).sum())
        unions += int((seen | truth).sum())
    without = [e[5] for e in expressions if not e[4]]
    targets = [not e[5] for e in expressions if e[4]]
    return {
        "n": len(expressions),
        "giou": mean(images, ious, released),
        "ciou": 100 * intersections / unions,
        "n_acc": 100 * np.mean(without),
        "t_acc": 100 * np.mean(targets),
    }


if __name__ == "__main__":
    drawn = [expression(index) for index in range(EXPRESSIONS)]
    reports = {}
    for name in ("standard", "released"):
        reports[name] = {
            "referring": {"protocol": name, **referring(drawn, name == "released")},
            "generalized": {"protocol": name, **generalized(drawn, name == "released")},
        }
    (FIXTURES / "metrics.json").write_text(json.dumps(reports, indent=2) + "\n")
