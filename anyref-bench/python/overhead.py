"""One question to the package in a fresh process; prints its times as JSON."""

import argparse
import json
import time

start = time.perf_counter()
import numpy  # noqa: E402

with_numpy = time.perf_counter()
import anyref  # noqa: E402

imported = time.perf_counter()

parser = argparse.ArgumentParser()
parser.add_argument("--device", default="cpu")
parser.add_argument("--image", required=True)
parser.add_argument("--text", required=True)
parser.add_argument("--questions", type=int, default=1)
options = parser.parse_args()


def ask(model):
    answer = model.picture(options.image).segment(options.text)
    masks = [mask.numpy() for mask in answer.masks]
    assert all(isinstance(mask, numpy.ndarray) for mask in masks)
    return answer


def resident():
    with open("/proc/self/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    return int(lines["VmRSS"].split()[0]) * 1024


start_of_work = time.perf_counter()
model = anyref.load(device=options.device)
answer = ask(model)
end = time.perf_counter()

levels = []
for number in range(1, options.questions):
    ask(model)
    if number % 100 == 99:
        levels.append(resident())

print(
    json.dumps(
        {
            "import": imported - with_numpy,
            "total": end - start_of_work,
            "text": answer.text,
            "counts": [mask.rle["counts"] for mask in answer.masks],
            "levels": levels,
        }
    )
)
