"""Package, types and memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

import anyref


def test_options_out_of_range_are_errors():
    for options in [
        {"device": "opencl"},
        {"device": "cpu:1"},
        {"device": "cpu:x"},
        {"dtype": "fp8"},
        {"kv_cache": "fp8"},
        {"kv_cache": "q8_0"},  # nano's heads are no whole blocks
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"max_new_tokens": 0},
        {"min_score": 2.0},
        {"candidates": 0},
        {"candidates": 2, "temperature": 1.0},
        {"model": "no/such/folder"},
    ]:
        with pytest.raises(anyref.AnyRefError) as error:
            anyref.load(**options)
        assert "\n" not in str(error.value) and "--temp" not in str(error.value)


def test_options_change_answers(scene):
    picture = anyref.load(min_score=1.0).picture(scene)
    answer = picture.segment("the gorilla")
    assert not answer.masks and answer.left_out == 1
    assert answer.to_supervision().is_empty()


def test_a_half_cache_gives_the_same_mask(picture, scene):
    half = anyref.load(kv_cache="f16").picture(scene).segment("the gorilla")
    answer = picture.segment("the gorilla")
    assert half.text == answer.text
    pair = [half.masks[0].numpy(), answer.masks[0].numpy()]
    assert np.logical_and(*pair).sum() >= 0.99 * np.logical_or(*pair).sum()


def test_a_picture_belongs_to_its_model(model, scene):
    other = anyref.load().picture(scene)
    with pytest.raises(anyref.AnyRefError, match="another engine"):
        model.segment_all([(other, "the gorilla")])


def test_supervision_takes_answers(picture):
    import supervision

    answer = picture.segment("the gorilla")
    detections = answer.to_supervision()
    assert isinstance(detections, supervision.Detections) and len(detections) == 1
    assert np.array_equal(detections.mask[0], answer.masks[0].numpy())
    assert detections.area[0] == answer.masks[0].area
    assert "gorilla" in detections["class_name"][0]
    scene = np.asarray(answer._image.rgb(), "S")  # pixels as bytes
    pixels = np.frombuffer(scene.tobytes(), np.uint8).reshape(256, 256, 3)
    drawn = supervision.MaskAnnotator().annotate(pixels.copy(), detections)
    assert not np.array_equal(drawn, pixels)


def test_importing_is_quick_and_needs_numpy_alone():
    program = """
import sys, time
import numpy
start = time.perf_counter()
import anyref
print(time.perf_counter() - start)
assert not {"PIL", "supervision"} & set(sys.modules), sys.modules.keys()
"""
    times = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        times.append(float(done.stdout))
    assert min(times) < 0.15


def mypy(*arguments, **options):
    command = [sys.executable, "-m", "mypy", "--cache-dir", os.devnull, *arguments]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_types_are_complete():
    assert (Path(anyref.__file__).parent / "py.typed").exists()
    folder = Path(__file__).resolve().parents[1]
    sources = {**os.environ, "MYPYPATH": str(folder / "python")}
    done = mypy("--config-file", folder / "pyproject.toml", "-p", "anyref", env=sources)
    assert done.returncode == 0, done.stdout
    asked = 'import anyref\nfound: {} = anyref.load().picture("a.png").segment("b").text\n'
    assert mypy("--strict", "-c", asked.format("str")).returncode == 0
    assert mypy("--strict", "-c", asked.format("int")).returncode == 1


def test_everything_is_documented():
    for name in anyref.__all__:
        thing = getattr(anyref, name)
        if isinstance(thing, str):
            continue
        assert thing.__doc__, name
        for member, value in vars(thing).items() if isinstance(thing, type) else ():
            if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                assert value.__doc__, f"{name}.{member}"


def test_memory_stays_level(model, scene):
    process = psutil.Process()
    pixels = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    questions = int(os.environ.get("ANYREF_LEAK_QUESTIONS", "160"))

    def ask(count):
        for _ in range(count):
            picture = model.picture(pixels)
            answer = picture.segment("the gorilla")
            answer.overlay_array()
            list(picture.chat().ask("the gorilla"))
        return process.memory_info().rss

    # Allocators may keep freed memory: the smallest of the later levels counts.
    levels = [ask(questions // 8) for _ in range(8)]
    print(questions, "questions,", [level >> 20 for level in levels], "MiB")
    assert min(levels[4:]) - max(levels[:4]) < 8e6
