"""Writes data/tests/fixtures/refer: a tiny data set of each kind, with the oddities of the published ones.

What the tests expect (`expected.json`, `protocols/expected.json`) is what CPython's own `pickle` and `json`
read back from these files, so the pickles above are checked too; the membership of splits is that of the
published reader's rules, stated here once more in Python.

Usage: python3 tests/oracle/refer_fixtures.py
"""
import json
import pickle
from pathlib import Path

from refer_pickles import python2_binary, python2_text

OUT = Path(__file__).resolve().parents[2] / "data/tests/fixtures/refer"
SPLITS = ["train", "val", "test", "testA", "testB", "testC", "testAB", "testAC", "testBC"]


def sentence(sent_id, raw, sent=None):
    sent = sent if sent is not None else raw.lower()
    return {b"tokens": sent.split(), b"raw": raw, b"sent_id": sent_id, b"sent": sent}


def ref(ref_id, image_id, ann_id, split, sentences, category_id=1, file_name=b""):
    return {
        b"sent_ids": [s[b"sent_id"] for s in sentences],
        b"file_name": file_name,
        b"ann_id": ann_id,
        b"ref_id": ref_id,
        b"image_id": image_id,
        b"split": split,
        b"sentences": sentences,
        b"category_id": category_id,
    }


def image(image_id, width, height, name=None):
    name = name or f"COCO_train2014_{image_id:012}.jpg"
    return {
        "license": 1, "file_name": name, "coco_url": "http://x/y", "height": height, "width": width,
        "date_captured": "2013-11-18 02:53:27", "flickr_url": "http://x/\"quoted\\", "id": image_id,
    }


def annotation(ann_id, image_id, segmentation, category_id=1, **more):
    return {
        "segmentation": segmentation, "area": 12.5, "image_id": image_id, "bbox": [1, 2.5, 3, 4.25],
        "category_id": category_id, "id": ann_id, **more,
    }


SQUARE = [[1.5, 1.5, 4.5, 1.5, 4.5, 4.5, 1.5, 4.5]]
COCO = {
    "info": {"description": "brackets ]}{[ and \"quotes\\\" in text", "version": "1.0", "year": 2014},
    "images": [image(581857, 640, 427), image(9, 8, 6), image(25, 10, 10), image(30, 5, 5)],
    "licenses": [{"url": "http://x", "id": 1, "name": "y"}],
    "annotations": [
        annotation(1719310, 581857, SQUARE, 18, iscrowd=0),
        annotation(77, 9, {"size": [6, 8], "counts": [10, 5, 33]}, 1, iscrowd=1),
        annotation(78, 9, {"size": [6, 8], "counts": "R1<0"}, 1, iscrowd=0),
        annotation(79, 25, SQUARE + [[0, 0, 9, 9]], 3),
        annotation(900100006700, 25, [], 3, iscrowd=0),
        annotation(31, 30, SQUARE, 3, iscrowd=0),  # no ref names it, nor its image
    ],
    "categories": [
        {"supercategory": "person", "id": 1, "name": "person"},
        {"supercategory": "animal", "id": 18, "name": "dog"},
        {"supercategory": "vehicle", "id": 3, "name": "c\u00e1r"},
    ],
}

REFS = [
    ref(0, 581857, 1719310, b"train", [
        sentence(0, b"THE Dog, on the left", b"the dog on the left"),
        sentence(1, "caf\u00e9 sign".encode("latin-1")),  # bytes that are not UTF-8
        sentence(2, "caf\u00e9 bench".encode()),  # bytes that are
    ], 18, b"COCO_train2014_000000581857_16.jpg"),
    ref(1, 9, 77, b"testA", [sentence(3, "a unicode \u4e00 \U0001f600 string")]),
    ref(2, 9, 78, b"testB", [sentence(4, b"it's a \"quoted\" \\ one\n")]),
    ref(3, 25, 79.0, b"testAB", [sentence(5, b"float id")], 3),
    ref(4, 25, 900100006700, b"val", [sentence(6, b"long id"), sentence(7, b"x" * 300)], 3),
    ref(5, 9, 77, b"test", [sentence(8, b"")]),
    ref(6, 581857, 1719310, b"testBC", []),  # no sentences
]

GREFS = [
    {"ref_id": 10, "image_id": 9, "ann_id": [77, 78], "category_id": [1, 1], "no_target": False,
     "split": "val", "file_name": "COCO_train2014_000000000009_1.jpg", "sent_ids": [20, 21],
     "sentences": [
         {"tokens": ["both"], "raw": "Both \u4e00\u4e8c", "sent_id": 20, "sent": "both \u4e00\u4e8c", "exist": True},
         {"tokens": [], "raw": "two [people] {here}", "sent_id": 21, "sent": "two \"people\" \\here"}]},
    {"ref_id": 11, "image_id": 9, "ann_id": [-1], "category_id": [-1], "no_target": True, "split": "val",
     "file_name": "COCO_train2014_000000000009.jpg", "sent_ids": [22],
     "sentences": [{"tokens": ["cat"], "raw": "cat", "sent_id": 22, "sent": "cat"}]},
    {"ref_id": 12, "image_id": 25, "ann_id": [79], "category_id": [3], "no_target": False, "split": "testA",
     "file_name": "f.jpg", "sent_ids": [], "sentences": []},
    {"ref_id": 13, "image_id": 581857, "ann_id": 1719310, "category_id": 18, "split": "testA",
     "file_name": "f.jpg", "sent_ids": [23], "sentences": [{"sent_id": 23, "raw": "Only raw"}]},
]

CLEF = {
    "images": [image(8756, 4, 3, "8756.jpg"), image(112, 480, 360, "00/112.jpg")],
    "annotations": [
        annotation("8756_2", 8756, [{"size": [3, 4], "counts": "014"}], 66, mask_name="8756_2.mat"),
        annotation("112_1", 112, SQUARE, 2, mask_name="112_1.mat"),
    ],
    "categories": [{"id": 66, "name": "couple of persons"}, {"id": 2, "name": "sky"}],
}
CLEF_REFS = [
    ref(0, 8756, b"8756_2", b"testC", [sentence(0, b"people")], 66, b"8756_2.jpg"),
    ref(1, 112, b"112_1", b"testA", [sentence(1, b"sky")], 2, b"112_1.jpg"),
]

# RRSIS-D: every segmentation is a list of one compressed encoding.
RRSISD = {
    "images": [image(1, 4, 3, "00003.jpg"), image(2, 4, 3, "00011.jpg")],
    "annotations": [
        annotation(1, 1, [{"size": [3, 4], "counts": "345"}], 13),
        annotation(2, 2, [{"size": [3, 4], "counts": "345"}], 20),
    ],
    "categories": [{"id": 13, "name": "stadium"}, {"id": 20, "name": "windmill"}],
}
RRSISD_REFS = [
    ref(1, 1, 1, b"test", [sentence(1, b"A stadium on the upper left")], 13, b"00003.jpg"),
    ref(2, 2, 2, b"train", [sentence(2, b"A windmill")], 20, b"00011.jpg"),
]

# Ref-ZOM: `source` says whether an expression has no target, one or many, whatever `ann_id` names.
ZOM_REFS = [
    {"ref_id": 1, "image_id": 9, "ann_id": [77, 78], "split": "test", "source": "many", "file_name": "",
     "sentences": [{"tokens": ["both"], "raw": "both", "sent_id": 1, "sent": "both"}]},
    {"ref_id": 2, "image_id": 9, "ann_id": [77], "split": "test", "source": "zero", "file_name": "",
     "sentences": [{"tokens": ["a", "cat"], "raw": "a cat", "sent_id": 2, "sent": "a cat"}]},
    {"ref_id": 3, "image_id": 25, "ann_id": 79, "split": "train", "source": "one", "file_name": "",
     "sentences": [{"tokens": ["car"], "raw": "car", "sent_id": 3, "sent": "car"}]},
]


def refcoco_m():
    """As docs/book/src/evaluation.md writes RefCOCO-M from the columns of its table."""
    samples = [{"id": 77, "image_id": 9, "sentences": ["the left man", "him"], "bbox": [1.0, 2.5, 3.0, 4.25],
                "category": "person", "mask": {"size": [6, 8], "counts": "R1<0"}}]
    images = [{"id": 9, "file_name": "COCO_train2014_000000000009.jpg", "height": 6, "width": 8}]
    refs, annotations, sent_id = [], [], 0
    for s in samples:
        sentences = [{"sent_id": sent_id + i, "raw": t, "sent": t} for i, t in enumerate(s["sentences"])]
        sent_id += len(sentences)
        refs.append({"ref_id": s["id"], "image_id": s["image_id"], "ann_id": s["id"], "split": "val",
                     "file_name": "", "sentences": sentences})
        annotations.append({"id": s["id"], "image_id": s["image_id"], "bbox": s["bbox"], "segmentation": s["mask"],
                            "iscrowd": 0, "category_id": 1})
    categories = [{"id": 1, "name": samples[0]["category"]}]
    return json.dumps(refs).encode(), {"images": images, "annotations": annotations, "categories": categories}


def text(value):
    """Python 2 strings as this project reads them: UTF-8 where they are that, else latin-1."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")
    if isinstance(value, dict):
        return {text(key): text(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [text(entry) for entry in value]
    return value


def members(marked, split):
    if split in ("testA", "testB", "testC"):
        return split[-1] in marked
    if split == "test":
        return "test" in marked
    return marked == split


def expected(refs):
    rows, splits = [], {}
    for entry in refs:
        ids = entry["ann_id"] if isinstance(entry["ann_id"], list) else [entry["ann_id"]]
        ids = [] if entry.get("source") == "zero" else ids
        rows.append({
            "ref_id": entry["ref_id"], "image_id": entry["image_id"], "split": entry["split"],
            "file_name": entry["file_name"],
            "ann_ids": [str(int(i)) if not isinstance(i, str) else i for i in ids if i != -1],
            "sentences": [[s["sent_id"], s["raw"], s.get("sent", s["raw"])] for s in entry["sentences"]],
        })
    for split in SPLITS:
        splits[split] = [e["ref_id"] for e in refs if members(e["split"], split)]
    return {"refs": rows, "splits": splits}


def write(folder, name, content):
    path = OUT / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_set(folder, name, content, instances):
    path = write(folder, name, content)
    write(folder, "instances.json", json.dumps(instances).encode())
    with path.open("rb") as file:
        back = pickle.load(file, encoding="bytes") if name.endswith(".p") else json.load(file)
    return expected(text(back))


def protocols():
    """The same plain value by every protocol of Python 3, and a Python 2 value by hand."""
    value = {
        "none": None, "bools": [True, False], "floats": [0.5, -1e300, 3.0],
        "ints": [0, 255, 256, 65535, 65536, -1, 2**31 - 1, -(2**31), 2**31, 2**63 - 1, -(2**63)],
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], "text": "\u00e9\u4e00\U0001f600\\ \n'\"",
        "long": "y" * 300, "nested": {"a": {"b": [[], {}, [[1]]]}}, "many": list(range(2000)),
    }
    value["shared"] = [value["nested"], value["nested"]]
    for protocol in range(6):
        write("protocols", f"p{protocol}.pickle", pickle.dumps(value, protocol))
    write("protocols", "bytes3.pickle", pickle.dumps([b"caf\xe9", b"z" * 300, bytearray(b"x")], 5))
    write("protocols", "bytes_by_call.pickle", pickle.dumps(b"x", 2))
    write("protocols", "expected.json", json.dumps(value).encode())


def main():
    plain = python2_binary(REFS)
    results = {
        "refcoco": write_set("refcoco", "refs(unc).p", plain, COCO),
        "refcoco+": write_set("refcoco+", "refs(unc).p", python2_text(REFS), COCO),
        "refcocog": write_set("refcocog", "refs(umd).p", python2_binary(REFS[:1]), COCO),
        "refclef": write_set("refclef", "refs(unc).p", python2_text(CLEF_REFS), CLEF),
        "grefcoco": write_set("grefcoco", "grefs(unc).json", json.dumps(GREFS).encode(), COCO),
        "refcoco-m": write_set("refcoco-m", "refs(unc).json", *refcoco_m()),
        "rrsisd": write_set("rrsisd", "refs(unc).p", pickle.dumps(text(RRSISD_REFS), 4), RRSISD),
        "ref-zom": write_set("ref-zom", "refs(final).p", pickle.dumps(ZOM_REFS, 4), COCO),
    }
    write("", "expected.json", json.dumps(results, indent=1).encode())
    protocols()


if __name__ == "__main__":
    main()
