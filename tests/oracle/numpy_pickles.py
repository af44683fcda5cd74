"""Writes data/tests/fixtures/numpy_pickles.json: pickles with NumPy values, and what they hold.

Run: python tests/oracle/numpy_pickles.py (needs numpy).
"""

import json
import pathlib
import pickle

import numpy as np

OUT = pathlib.Path(__file__).parents[2] / "data/tests/fixtures/numpy_pickles.json"


def values():
    for kind in ("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "float32", "float64", "bool"):
        yield kind, np.dtype(kind).type(1)
    yield "negative", [np.int16(-5), np.int64(-(2**40)), np.float32(-1.5)]
    yield "big endian", np.array([1, 256, -2], ">i4")
    yield "text", [np.str_("caf\u00e9"), np.bytes_(b"R1<0")]
    yield "ids", np.array([3, 1, 2])
    yield "points", np.array([[1.5, 2.5], [3.5, 4.5], [5.5, 6.5]])
    yield "columns first", np.asfortranarray(np.arange(6).reshape(2, 3))
    yield "empty", np.array([], dtype=float)
    yield "objects", np.array(["a", None, 3], dtype=object)
    yield "bytes", [b"", b"caf\xe9", bytes(range(48, 60))]
    yield "ref", {"ann_id": np.int64(7), "ann_ids": np.array([7, 8]), "sentences": [{"sent": np.str_("x")}]}


def plain(value):
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def main():
    read = []
    for name, value in values():
        for protocol in range(6):
            if protocol < 2 and name == "bytes":
                continue
            pickled = pickle.dumps(value, protocol)
            read.append({"name": f"{name} {protocol}", "pickle": pickled.hex(), "value": plain(value)})
    odd = [np.dtype("complex64").type(1), np.datetime64("2020-01-01"), np.array([1], dtype=[("a", int)]),
           {1, 2}, 1j, pathlib.PurePosixPath("a"), np.array(5)]
    refused = [{"name": repr(value), "pickle": pickle.dumps(value, 4).hex()} for value in odd]
    OUT.write_text(json.dumps({"numpy": np.__version__, "read": read, "refused": refused}, indent=0) + "\n")


if __name__ == "__main__":
    main()
