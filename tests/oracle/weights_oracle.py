#!/usr/bin/env python3
"""Write `weights_crc32.json`: the CRC-32 of numpy's bytes for every tensor of the reference cases.

    python3 weights_oracle.py > weights_crc32.json

`weights.py` beside this script is the rule in numpy; `xtask/src/weights` must reproduce it bit for
bit. numpy 1.26.4 and 2.4.6 print the same file. Needs numpy.
"""

import json
import zlib
from pathlib import Path

from weights import fill

REFERENCE = Path(__file__).resolve().parent.parent / "reference"


def case_crcs(case: str) -> dict:
    seed = json.loads((REFERENCE / case / "case.json").read_text())["seed"]
    spec = json.loads((REFERENCE / case / "tensors.json").read_text())
    return {name: zlib.crc32(fill(name, shape, seed).tobytes()) for name, shape in spec}


if __name__ == "__main__":
    print(json.dumps({case: case_crcs(case) for case in ["qwen2", "internlm2_lora"]}, indent=0))
