"""Answers of every kind."""

import io
import subprocess
import sys
import threading

import numpy as np
import pytest
from conftest import DEMO
from PIL import Image

import anyref


def test_a_text_is_found(picture):
    answer = picture.segment("the gorilla")
    assert "gorilla" in answer.text
    [mask] = answer.masks
    pixels = mask.numpy()
    assert pixels.dtype == np.bool_ and pixels.shape == (256, 256)
    assert pixels.sum() == mask.area > 0
    x0, y0, x1, y1 = mask.box
    assert pixels[y0:y1, x0:x1].sum() == mask.area
    assert pixels[y0].any() and pixels[:, x1 - 1].any()
    assert 0 < mask.score <= 1
    start, end = mask.words
    assert answer.text[start:end] == answer.text.rstrip(".")
    assert answer.timing.total >= answer.timing.generate > 0
    pixels[:] = False  # a copy
    assert mask.numpy().any()


def test_a_picture_is_given_in_any_form(model, scene):
    with Image.open(scene) as opened:
        pil = opened.convert("RGB")
    pixels = np.asarray(pil)
    wide = np.zeros((512, 512, 3), np.uint8)
    wide[::2, ::2] = pixels
    buffer = io.BytesIO()
    pil.save(buffer, "png")
    forms = [
        pil,
        pixels,
        np.asfortranarray(pixels),
        wide[::2, ::2],
        pixels[::-1][::-1],
        buffer.getvalue(),
        pil.convert("RGBA"),
    ]
    answers = [model.picture(form).segment("the gorilla") for form in forms]
    assert len({(a.text, a.masks[0].rle["counts"]) for a in answers}) == 1


def test_references_mix(picture, model):
    sound = model.picture(DEMO / "scene5.jpg").segment(
        anyref.Audio(DEMO / "scene5-5-1.wav"),
        anyref.Box(18, 38, 94, 97),
        prompt="Can you segment the thing that makes {1}, right of {2} in this image?",
    )
    assert sound.text
    by_picture = picture.segment(image=DEMO / "scene1-3-1.png")
    assert by_picture.masks
    whole = np.ones(Image.open(DEMO / "scene1-3-1.png").size[::-1], bool)
    masked = picture.segment(image=DEMO / "scene1-3-1.png", mask=whole)
    assert masked.masks[0].rle == by_picture.masks[0].rle
    described = picture.describe(box=(108, 52, 205, 171))
    assert "gorilla" in described.text


def test_a_region_by_its_mask_is_the_box_around_it(picture):
    mask = picture.segment("the gorilla").masks[0]
    by_mask = picture.segment(anyref.Region(mask))
    by_array = picture.segment(anyref.Region(mask.numpy()))
    by_box = picture.segment(box=mask.box)
    assert by_mask.masks[0].rle == by_box.masks[0].rle == by_array.masks[0].rle
    with pytest.raises(anyref.AnyRefError, match="black all over"):
        picture.segment(anyref.Region(np.zeros((256, 256), bool)))


def test_points_ask_sam_alone(picture):
    first = picture.segment(points=[(150, 110)])
    assert first.text == "" and len(first.masks) == 1
    assert first.masks[0].words is None
    better = picture.segment(points=[(150, 110), (5, 5, False)], mask=first.masks[0])
    assert better.masks[0].numpy()[110, 150]
    with pytest.raises(anyref.AnyRefError, match="outside the 256x256 picture"):
        picture.segment(points=[(float("nan"), 3)])
    with pytest.raises(anyref.AnyRefError, match="SAM alone"):
        picture.segment("the gorilla", points=[(1, 1)])


def test_questions_are_answered_together(model, picture):
    other = model.picture(DEMO / "scene2.jpg")
    questions = [
        (picture, "the gorilla"),
        other.question(anyref.Box(0, 0, 999, 9)),
        picture.question("{1}", prompt="no {2}"),
        (other, "the gorilla"),
    ]
    answers = model.segment_all(questions, return_errors=True)
    assert answers[0].masks[0].rle == picture.segment("the gorilla").masks[0].rle
    assert isinstance(answers[1], anyref.AnyRefError) and "999" in str(answers[1])
    assert isinstance(answers[2], anyref.AnyRefError)
    assert answers[3].text == other.segment("the gorilla").text
    with pytest.raises(anyref.AnyRefError):
        model.segment_all(questions)
    assert model.segment_all([]) == []


def test_a_chat_is_read_piece_by_piece(picture):
    chat = picture.chat()
    stream = chat.ask("Can you segment {1} in this image?", "the gorilla")
    pieces = list(stream)
    assert len(pieces) > 1
    assert "".join(pieces).strip() == stream.answer.text
    assert stream.answer.masks and len(chat) == 1
    chat.clear()
    assert len(chat) == 0
    # An answer that nobody reads ends, and the next question is accepted.
    chat.ask("the gorilla").stop()
    with pytest.raises(anyref.AnyRefError):
        chat.ask(None)
        chat.ask(None, anyref.Box(0, 0, 999, 9))


def test_notebooks_show_pictures(model, picture):
    answer = picture.segment("the gorilla")
    drawn = Image.open(io.BytesIO(answer._repr_png_()))
    assert drawn.size == picture.size
    assert np.array_equal(np.asarray(drawn), np.asarray(answer.overlay()))
    assert not np.array_equal(answer.overlay_array(), answer.overlay_array() * 0)
    html = answer._repr_html_()
    assert "rgb(255,64,64)" in html and "data:image/png;base64," in html
    assert "mask_decoder" in model._repr_html_()
    assert "Mask(box=" in repr(answer) and "nano" in repr(model) and "256x256" in repr(picture)


def test_a_polygon_fills_to_the_mask(picture):
    from PIL import ImageDraw

    mask = picture.segment("the gorilla").masks[0]
    rings = mask.polygon()
    assert rings[0].shape[1] == 2
    # Pillow fills corners inclusively; areas by the shoelace formula are exact.
    area = sum(
        abs(
            np.dot(ring[:, 0], np.roll(ring[:, 1], -1))
            - np.dot(ring[:, 1], np.roll(ring[:, 0], -1))
        )
        / 2
        for ring in rings
    )
    if len(rings) == 1:
        assert area == mask.area
    canvas = Image.new("1", picture.size)
    for ring in rings:
        ImageDraw.Draw(canvas).polygon([tuple(corner) for corner in ring.tolist()], fill=1)
    assert np.asarray(canvas)[mask.numpy()].all()


def test_threads_share_a_model(model, picture):
    expected = picture.segment("the gorilla").masks[0].rle
    found = []

    def ask():
        for _ in range(3):
            found.append(picture.segment("the gorilla").masks[0].rle)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 12


def test_python_runs_on_while_a_model_computes(picture):
    ticks, stop = [0], threading.Event()

    def tick():
        while not stop.is_set():
            ticks[0] += 1
            stop.wait(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    before = ticks[0]
    for _ in range(5):
        picture.segment("the gorilla")
    during = ticks[0] - before
    stop.set()
    thread.join()
    assert during > 5


def test_ctrl_c_ends_an_answer(scene):
    program = f"""
import signal, threading, time, os
import anyref
model = anyref.load()
picture = model.picture({str(scene)!r})
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
start = time.monotonic()
try:
    model.segment_all([(picture, "the gorilla")] * 5000)
    print("answered")
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - start)
print(picture.segment("the gorilla").text)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    words = done.stdout.split()
    assert words[0] == "interrupted", done
    assert float(words[1]) < 5
    assert "gorilla" in done.stdout
