"""Refocusing in the authors' formulation, in PyTorch, for `cargo xtask bench refocus`.

Layers return their whole attention matrices; the rows of the objects in the last layer are averaged
over heads, cut to the span and normalised. The computation of a layer's own output is not counted
on either side; the matrix is, because nothing else needs it. The authors request it from every
layer; here --layers sets their number, each with the same queries and keys.

Takes a case `objects,heads,positions,width`, prints its memory as JSON on one line, then answers
every line on its input with the seconds of one run.
"""

import argparse
import json
import sys
import time

import torch

HEAD_DIM = 128


def attention(query, key, mask):
    scores = query @ key.transpose(-1, -2) / HEAD_DIM**0.5
    scores = scores + mask
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)


def refocus(query, key, hidden, mask, start, weight, layers):
    attentions = [attention(query, key, mask) for _ in range(layers)]
    end = hidden.shape[1] - 1
    rows = attentions[-1][:, :, end].mean(1)[:, start:end]
    rows = rows / rows.sum(-1, keepdim=True)
    return hidden[:, end] + weight * (rows[:, None] @ hidden[:, start:end])[:, 0]


def resident(name):
    """Memory of this process in bytes, by a field of /proc/self/status."""
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith(name))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        return None


class Memory:
    """Peak memory from now on."""

    def __init__(self, device):
        self.device = device
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
        else:
            try:
                with open("/proc/self/clear_refs", "w") as refs:
                    refs.write("5")
            except OSError:
                pass
            self.before = resident("VmRSS:")

    def taken(self):
        if self.device == "cuda":
            return torch.cuda.max_memory_allocated() - self.before
        peak = resident("VmHWM:")
        return None if peak is None or self.before is None else max(peak - self.before, 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--dtype", default="f32")
    parser.add_argument("case")
    options = parser.parse_args()
    objects, heads, positions, width = map(int, options.case.split(","))
    dtype = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[options.dtype]
    generator = torch.Generator(options.device).manual_seed(0)

    def random(*shape):
        values = torch.rand(*shape, generator=generator, device=options.device) * 2 - 1
        return values.to(dtype)

    query = random(objects, heads, positions, HEAD_DIM)
    key = random(objects, heads, positions, HEAD_DIM)
    hidden = random(objects, positions, width)
    mask = torch.full((positions, positions), float("-inf"), dtype=dtype, device=options.device).triu(1)

    # A GPU is waited for after several runs, as on the other side.
    runs = 8 if options.device == "cuda" else 1

    def seconds():
        start = time.perf_counter()
        for _ in range(runs):
            states = refocus(query, key, hidden, mask, positions // 2, 0.1, options.layers)
        assert torch.isfinite(states[0, 0]).item()
        return (time.perf_counter() - start) / runs

    with torch.inference_mode():
        seconds()
        memory = Memory(options.device)
        seconds()
        print(json.dumps({"memory": memory.taken()}), flush=True)
        for _ in sys.stdin:
            print(seconds(), flush=True)


if __name__ == "__main__":
    main()
