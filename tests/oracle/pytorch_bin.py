#!/usr/bin/env python3
"""Turn a safetensors checkpoint into `pytorch_model.bin`, as `torch.save` lays it out.

    python3 pytorch_bin.py IN.safetensors OUT_DIR

Writes OUT_DIR/pytorch_model.bin (half the tensors in f16, every third a transposed view, as real
state dicts have them) and OUT_DIR/expected.json: for each tensor its shape and the sum of its
values. Needs numpy and safetensors, not torch: the names of torch's classes are written without
importing it.
"""

import collections
import io
import json
import pickle
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


def fake(module: str, name: str):
    """A class that pickles as a global of a module that is not installed."""
    parts = module.split(".")
    for i in range(len(parts)):
        sys.modules.setdefault(".".join(parts[: i + 1]), types.ModuleType(parts[i]))
    made = type(name, (), {"__module__": module})
    setattr(sys.modules[module], name, made)
    return made


STORAGES = {
    np.dtype("float32"): fake("torch", "FloatStorage"),
    np.dtype("float16"): fake("torch", "HalfStorage"),
    np.dtype("int64"): fake("torch", "LongStorage"),
}
rebuild = fake("torch._utils", "_rebuild_tensor_v2")


class Storage:
    def __init__(self, key: str, array: np.ndarray):
        self.key, self.array = key, array


class Lazy:
    """A tensor that pickles as a call of `_rebuild_tensor_v2`."""

    def __init__(self, storage, shape, strides):
        self.parts = (storage, 0, shape, strides, False, collections.OrderedDict())

    def __reduce__(self):
        return rebuild, self.parts


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            return ("storage", STORAGES[obj.array.dtype], obj.key, "cpu", obj.array.size)
        return None


def main():
    tensors = load_file(sys.argv[1])
    out = Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    state, storages, expected = collections.OrderedDict(), [], {}
    for number, (name, array) in enumerate(sorted(tensors.items())):
        if array.dtype == np.float32 and number % 2:
            array = array.astype(np.float16)
        expected[name] = [list(array.shape), float(array.astype(np.float64).sum())]
        shape = array.shape
        if array.ndim == 2 and number % 3 == 0:
            stored, strides = np.ascontiguousarray(array.T), (1, shape[0])
        else:
            stored = np.ascontiguousarray(array)
            strides = tuple(int(np.prod(shape[i + 1:])) for i in range(len(shape)))
        storage = Storage(str(number), stored)
        storages.append(storage)
        state[name] = Lazy(storage, shape, strides)
    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump(state)
    with zipfile.ZipFile(out / "pytorch_model.bin", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("pytorch_model/data.pkl", buffer.getvalue())
        archive.writestr("pytorch_model/byteorder", "little")
        for storage in storages:
            archive.writestr(f"pytorch_model/data/{storage.key}", storage.array.tobytes())
        archive.writestr("pytorch_model/version", "3\n")
    (out / "expected.json").write_text(json.dumps(expected, indent=0) + "\n")


if __name__ == "__main__":
    main()
