"""PyTorch's BatchNorm2d over five steps of two conversations each: model/tests/fixtures/batch_norm.json.

    python3 tests/oracle/batch_norm.py model/tests/fixtures/batch_norm.json

The loss of a conversation is sum(y * weight); numbers are drawn by a rule that a test can repeat.
"""

import json
import math
import sys

import torch

CHANNELS, HEIGHT, WIDTH, STEPS = 3, 4, 5, 5
CONVERSATIONS = [1, 3]


def values(count, seed):
    """sin of multiples of an irrational number: no two are alike, and their mean is not 0."""
    return [round(math.sin(1.7 * seed + 0.61803398875 * i) * (1 + 0.3 * (i % 7)) + 0.2 * math.cos(seed), 6) for i in range(count)]


def main():
    norm = torch.nn.BatchNorm2d(CHANNELS)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.5, -1.0]))
        norm.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
    steps = []
    for step in range(STEPS):
        norm.zero_grad()
        outputs, of_inputs = [], []
        for index, n in enumerate(CONVERSATIONS):
            size = n * CHANNELS * HEIGHT * WIDTH
            seed = 10 * step + index
            x = torch.tensor(values(size, seed)).reshape(n, CHANNELS, HEIGHT, WIDTH).requires_grad_()
            weight = torch.tensor(values(size, seed + 5)).reshape(n, CHANNELS, HEIGHT, WIDTH)
            y = norm(x)
            (y * weight).sum().backward()
            outputs += y.flatten().tolist()
            of_inputs += x.grad.flatten().tolist()
        steps.append(
            {
                "output": outputs,
                "input_gradient": of_inputs,
                "gamma_gradient": norm.weight.grad.tolist(),
                "beta_gradient": norm.bias.grad.tolist(),
                "running_mean": norm.running_mean.tolist(),
                "running_var": norm.running_var.tolist(),
                "num_batches_tracked": int(norm.num_batches_tracked),
            }
        )
    norm.eval()
    x = torch.tensor(values(CHANNELS * HEIGHT * WIDTH, 99)).reshape(1, CHANNELS, HEIGHT, WIDTH)
    result = {"torch": torch.__version__, "steps": steps, "evaluation": norm(x).flatten().tolist()}
    with open(sys.argv[1], "w") as file:
        json.dump(result, file, indent=None)


main()
