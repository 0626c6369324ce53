"""Parts of models alone."""

import numpy as np
import pytest
from conftest import DEMO
from hypothesis import given, settings
from hypothesis import strategies as st

import anyref
from anyref.audio import ImageBind
from anyref.decoder import ObjectToken, refocus
from anyref.vision import Clip, Sam


def test_clip_sees(scene):
    clip = Clip()
    features = clip(scene)
    assert features.shape == (256, 192) and features.dtype == np.float32
    assert np.isfinite(features).all() and features.std() > 0
    assert not np.allclose(clip(scene, layer=-1), features)
    assert not np.allclose(clip(DEMO / "scene2.jpg"), features)
    for layer in (-100, 100):
        with pytest.raises(anyref.AnyRefError):
            clip(scene, layer=layer)


def test_imagebind_hears():
    hears = ImageBind()
    one = hears(DEMO / "scene1-4-1.wav")
    assert one.shape == (3, 128) and np.isfinite(one).all()
    assert np.array_equal(hears((DEMO / "scene1-4-1.wav").read_bytes()), one)
    assert not np.allclose(hears(DEMO / "scene2-4-1.wav"), one)
    with pytest.raises(anyref.AnyRefError):
        hears((np.zeros(16000, np.float32), 16000))


def test_sam_points_and_finds(model, picture, scene):
    sam = Sam(model)
    [mask] = sam.predict(picture, points=[(150, 110)])
    assert mask.rle == picture.segment(points=[(150, 110)]).masks[0].rle
    assert len(sam.predict(scene, box=(108, 52, 205, 171))) == 1
    with pytest.raises(anyref.AnyRefError, match="pointed at"):
        sam.predict(picture)
    found = sam.masks(
        scene, points_per_side=4, pred_iou_thresh=0.0, stability_score_thresh=0.0
    )
    assert found and all(one.mask.size == (256, 256) for one in found)
    with pytest.raises(anyref.AnyRefError, match="points_per_side"):
        sam.masks(scene, points_per_side=0)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(0, 6), st.integers(0, 8))
def test_refocusing_is_numpys(seed, start, end):
    draw = np.random.default_rng(seed)
    query, key = draw.standard_normal((1, 4, 8)), draw.standard_normal((2, 2, 7, 8))
    hidden = draw.standard_normal((2, 7, 5))
    position = 6
    found = refocus(query, key, hidden, [ObjectToken(1, position, start, end)], weight=0.5)
    keys = np.repeat(key[1], 2, axis=0)
    scores = np.einsum("hd,htd->ht", query[0], keys) / np.sqrt(8)
    attention = np.exp(scores - scores.max(1, keepdims=True))
    attention = (attention / attention.sum(1, keepdims=True)).mean(0)
    span = slice(start, max(start, min(end, position + 1)))
    expected = hidden[1, position].copy()
    if span.start < span.stop:
        weights = attention[span] / attention[span].sum()
        expected += 0.5 * weights @ hidden[1, span]
    assert np.allclose(found[0], expected, atol=1e-4)


def test_refocusing_refuses_what_does_not_fit():
    query, key, hidden = np.zeros((1, 4, 8)), np.zeros((1, 2, 7, 8)), np.zeros((1, 7, 5))
    for arguments in [
        (query, key, hidden, []),
        (query[0], key, hidden, [ObjectToken(0, 6, 0, 6)]),
        (query, key, hidden, [ObjectToken(0, 7, 0, 6)]),
        (query, key, hidden, [ObjectToken(1, 6, 0, 6)]),
        (query, key, hidden, [ObjectToken(0, -1, 0, 6)]),
        (query[:, :3], key, hidden, [ObjectToken(0, 6, 0, 6)]),
        (query.astype(int), key, hidden, [ObjectToken(0, 6, 0, 6)]),
    ]:
        with pytest.raises(anyref.AnyRefError):
            refocus(*arguments)
