"""Answers and errors equal to those of the command line."""

import numpy as np
import pytest
from conftest import DEMO

import anyref


@pytest.mark.parametrize(
    "arguments, question",
    [
        (["--text", "the gorilla"], {"references": ["the gorilla"]}),
        (["--text", "grapes at the bottom"], {"references": ["grapes at the bottom"]}),
        (["--box", "108,52,205,171"], {"box": (108, 52, 205, 171)}),
        (["--ref-image", "scene1-3-1.png"], {"image": DEMO / "scene1-3-1.png"}),
        (["--audio", "scene1-4-1.wav"], {"audio": DEMO / "scene1-4-1.wav"}),
        (["--point", "150,110", "--point", "5,5,0"], {"points": [(150, 110), (5, 5, 0)]}),
    ],
)
def test_texts_and_masks_are_the_same(command, picture, arguments, question):
    told = command("segment", "--image", "scene1.jpg", *arguments)
    question = dict(question)
    answer = picture.segment(*question.pop("references", []), **question)
    assert answer.text == told["text"]
    assert len(answer.masks) == len(told["masks"]) > 0
    for mask, expected in zip(answer.masks, told["masks"]):
        assert mask.rle == {"size": expected["size"], "counts": expected["counts"]}
        assert list(mask.box) == expected["box"] and mask.area == expected["area"]
        assert np.float32(mask.score) == np.float32(expected["score"])


def test_descriptions_are_the_same(command, picture):
    told = command("describe", "--image", "scene1.jpg", "--box", "16.2,184.5,67.6,256")
    assert picture.describe(box=(16.2, 184.5, 67.6, 256)).text == told["text"]


def test_errors_are_the_same_line(command, model, monkeypatch, tmp_path):
    monkeypatch.chdir(DEMO)
    asked = [
        (
            ["--image", "scene1.jpg", "--box", "0,0,999,9"],
            lambda: model.picture("scene1.jpg").segment(box=(0, 0, 999, 9)),
        ),
        (
            ["--image", "scene1.jpg", "--point", "300,4"],
            lambda: model.picture("scene1.jpg").segment(points=[(300, 4)]),
        ),
        (
            ["--image", "none.jpg", "--text", "x"],
            lambda: model.picture("none.jpg"),
        ),
        (
            ["--image", "LICENSE.md", "--text", "x"],
            lambda: model.picture("LICENSE.md"),
        ),
        (
            ["--image", "scene1.jpg", "--audio", "LICENSE.md"],
            lambda: model.picture("scene1.jpg").segment(audio="LICENSE.md"),
        ),
        (
            ["--image", "scene1.jpg"],
            lambda: model.picture("scene1.jpg").segment(),
        ),
        (
            ["--image", "scene1.jpg", "--text", "x", "--prompt", "where is {2}?"],
            lambda: model.picture("scene1.jpg").segment("x", prompt="where is {2}?"),
        ),
        (
            ["--image", "scene1.jpg", "--text", "x", "--model", str(tmp_path)],
            lambda: anyref.load(tmp_path),
        ),
    ]
    for arguments, ask in asked:
        with pytest.raises(anyref.AnyRefError) as error:
            ask()
        assert str(error.value) == command("segment", *arguments), arguments
