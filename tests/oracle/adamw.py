"""PyTorch's AdamW after clip_grad_norm_, recomputed in f64: writes adamw.json beside this file.

torch.optim.AdamW (single-tensor form) and torch.nn.utils.clip_grad_norm_, written out:

    coefficient = min(1, max_norm / (norm of all gradients + 1e-6));  g = g * coefficient
    p = p * (1 - lr * weight_decay)
    m = m + (g - m) * (1 - beta1);  v = v * beta2 + g * g * (1 - beta2)
    p = p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)

Usage: python3 tests/oracle/adamw.py
"""

import json
import math
from pathlib import Path

LEARNING_RATES = [1e-2, 2e-2, 1.5e-2, 1e-2, 5e-3, 1e-3]
BETA1, BETA2, EPSILON, DECAY, MAX_NORM = 0.9, 0.999, 1e-8, 0.05, 1.0

# Two weights, a [2, 2] matrix and a [3] vector, flat; gradients far above, near and below the
# norm that is clipped to, with exact zeros and values near epsilon among them.
START = {"matrix": [0.5, -1.25, 2.0, -0.75], "vector": [1.0, 0.0, -3.0]}
GRADIENTS = [
    {"matrix": [3.0, -4.0, 0.5, 0.0], "vector": [1.0, 2e-8, -2.0]},
    {"matrix": [0.25, 0.125, -0.5, 0.0], "vector": [-0.25, -1e-8, 0.5]},
    {"matrix": [-1.0, 0.5, 0.25, 0.0], "vector": [0.75, 0.0, -0.125]},
    {"matrix": [0.03125, -0.0625, 0.5, 1.0], "vector": [0.0, 3e-8, 0.25]},
    {"matrix": [16.0, 8.0, -4.0, 2.0], "vector": [-1.0, 0.5, -0.25]},
    {"matrix": [0.0, 0.0, 0.0, 0.0], "vector": [0.0, 0.0, 0.0]},
]


def main():
    weights = {name: list(values) for name, values in START.items()}
    means = {name: [0.0] * len(values) for name, values in START.items()}
    squares = {name: [0.0] * len(values) for name, values in START.items()}
    steps = []
    for step, (gradients, lr) in enumerate(zip(GRADIENTS, LEARNING_RATES), start=1):
        norm = math.sqrt(sum(g * g for values in gradients.values() for g in values))
        coefficient = min(1.0, MAX_NORM / (norm + 1e-6))
        for name, values in gradients.items():
            for i, gradient in enumerate(values):
                gradient *= coefficient
                weights[name][i] *= 1 - lr * DECAY
                means[name][i] += (gradient - means[name][i]) * (1 - BETA1)
                squares[name][i] = squares[name][i] * BETA2 + gradient * gradient * (1 - BETA2)
                root = math.sqrt(squares[name][i]) / math.sqrt(1 - BETA2**step) + EPSILON
                weights[name][i] -= lr / (1 - BETA1**step) * means[name][i] / root
        steps.append(
            {
                "learning_rate": lr,
                "gradients": gradients,
                "norm": norm,
                "coefficient": coefficient,
                "weights": {name: list(values) for name, values in weights.items()},
            }
        )
    case = {"max_norm": MAX_NORM, "start": START, "steps": steps}
    path = Path(__file__).with_name("adamw.json")
    path.write_text(json.dumps(case, indent=1) + "\n")


if __name__ == "__main__":
    main()
