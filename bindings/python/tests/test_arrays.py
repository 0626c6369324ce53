"""Arrays of all strides, types and sizes, and values that are no arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

import anyref
from anyref._inputs import native_image

sides = st.integers(1, 12)


@given(
    arrays.arrays(np.uint8, st.tuples(sides, sides, st.just(3))),
    st.tuples(*[st.sampled_from([1, 2, 3, -1, -2])] * 2),
    st.permutations([0, 1]),
)
def test_pixels_are_read_by_any_strides(pixels, steps, order):
    view = pixels[:: steps[0], :: steps[1]].transpose(*order, 2)
    image = native_image(view)
    height, width = view.shape[:2]
    assert image.size == (width, height)
    assert image.rgb() == np.ascontiguousarray(view).tobytes()


@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.int16, np.uint16, np.bool_, np.complex64, np.uint8]),
        arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    )
)
def test_other_arrays_are_no_pictures(array):
    if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8 and array.size:
        return
    with pytest.raises(anyref.AnyRefError) as error:
        native_image(array)
    assert "\n" not in str(error.value)


@given(arrays.arrays(np.bool_, st.tuples(sides, sides)), st.sampled_from([1, 2, -1]))
def test_masks_are_those_of_pycocotools(pixels, step):
    view = pixels[::step, ::step].T
    mask = anyref.Mask.of(view)
    assert np.array_equal(mask.numpy(), view)
    assert mask.area == view.sum()
    encoded = coco.encode(np.asfortranarray(view.astype(np.uint8)))
    assert mask.rle["counts"] == encoded["counts"].decode()
    assert np.array_equal(coco.decode(mask.rle).astype(bool), view)
    assert np.array_equal(anyref.Mask.of(encoded).numpy(), view)
    assert np.array_equal(np.asarray(mask), view)


@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.float64, np.bool_, np.int8, np.object_]),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
        elements=st.just(0),
    )
)
def test_masks_have_two_dimensions_and_no_fractions(array):
    if array.ndim == 2 and array.dtype in (np.bool_, np.int8):
        assert anyref.Mask.of(array).size == array.shape
        return
    with pytest.raises(anyref.AnyRefError):
        anyref.Mask.of(array)


@pytest.mark.parametrize(
    "rle",
    [
        {},
        {"size": [2, 2]},
        {"size": [2, 2], "counts": "~"},
        {"size": [2], "counts": "4"},
        {"size": [2, 2], "counts": [1]},
        {"size": [1 << 40, 1 << 40], "counts": "0"},
    ],
)
def test_broken_run_lengths_are_errors(rle):
    with pytest.raises((anyref.AnyRefError, OverflowError)):
        anyref.Mask.of(rle)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, 3))
def test_boxes_and_sounds_that_are_no_numbers_are_errors(picture, value, place):
    box = [10.0, 10.0, 60.0, 60.0]
    box[place] = value
    with pytest.raises(anyref.AnyRefError, match="box"):
        picture.segment(box=box)
    samples = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    samples[place] = value
    with pytest.raises(anyref.AnyRefError):
        picture.segment(audio=(samples, 16000))


def test_sounds_are_arrays_too(picture):
    import wave

    from conftest import DEMO

    path = DEMO / "scene1-4-1.wav"
    with wave.open(str(path)) as file:
        assert file.getsampwidth() == 2 and file.getnchannels() == 1
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        rate = file.getframerate()
    by_file = picture.segment(audio=path)
    assert picture.segment(audio=path.read_bytes()).masks[0].rle == by_file.masks[0].rle
    assert picture.segment(audio=(samples, rate)).masks[0].rle == by_file.masks[0].rle
    floats = samples.astype(np.float64) / 32768
    assert picture.segment(audio=(floats, rate)).masks[0].rle == by_file.masks[0].rle
    for bad in [
        (samples.reshape(-1, 1), rate),
        (samples, 0),
        (samples.astype(np.int32), rate),
        (np.zeros(0, np.float32), rate),
        (np.zeros(16000, np.float32), rate),
    ]:
        with pytest.raises(anyref.AnyRefError):
            picture.segment(audio=bad)
