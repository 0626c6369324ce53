"""Refocusing as the authors formulate it, in PyTorch, for `cargo xtask bench refocus`.

The last layer returns its whole attention matrix, whose rows of the objects are averaged over heads, cut to the span
and normalised. What the layer computes for its own output is counted neither here nor there; the matrix is, as
nothing else needs it. Takes cases `objects,heads,positions,width` and prints the median seconds of each.
"""

import argparse
import json
import time

import torch

HEAD_DIM = 128


def refocus(query, key, hidden, mask, start, weight):
    scores = query @ key.transpose(-1, -2) / HEAD_DIM**0.5 + mask
    attention = torch.softmax(scores.float(), dim=-1).to(query.dtype)
    end = hidden.shape[1] - 1
    rows = attention[:, :, end].mean(1)[:, start:end]
    rows = rows / rows.sum(-1, keepdim=True)
    return hidden[:, end] + weight * (rows[:, None] @ hidden[:, start:end])[:, 0]


def seconds(case, device, repeat):
    objects, heads, positions, width = map(int, case.split(","))
    generator = torch.Generator(device).manual_seed(0)
    random = lambda *shape: torch.rand(*shape, generator=generator, device=device) * 2 - 1
    query = random(objects, heads, positions, HEAD_DIM)
    key = random(objects, heads, positions, HEAD_DIM)
    hidden = random(objects, positions, width)
    mask = torch.full((positions, positions), float("-inf"), device=device).triu(1)
    times = []
    for index in range(repeat + 1):
        start = time.perf_counter()
        refocus(query, key, hidden, mask, positions // 2, 0.1)[0, 0].item()
        if index:
            times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("cases", nargs="+")
    options = parser.parse_args()
    with torch.inference_mode():
        for case in options.cases:
            print(json.dumps({"seconds": seconds(case, options.device, max(options.repeat, 1))}), flush=True)


if __name__ == "__main__":
    main()
