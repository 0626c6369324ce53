"""Scores against numpy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

import anyref
from anyref import metrics

masks = arrays.arrays(np.bool_, (6, 5))


@given(st.lists(st.tuples(masks, masks), min_size=1, max_size=4))
def test_ious_are_numpys(pairs):
    predicted, truth = zip(*pairs)
    intersections = np.array([(p & t).sum() for p, t in pairs], float)
    unions = np.array([(p | t).sum() for p, t in pairs], float)
    scores = metrics.referring(predicted, truth)
    assert scores["cIoU"] == (
        pytest.approx(intersections.sum() / unions.sum()) if unions.sum() else None
    )
    ious = np.divide(intersections, unions, out=np.zeros_like(unions), where=unions > 0)
    assert scores["mIoU"] == pytest.approx(ious.mean())
    lisas = np.where(unions > 0, intersections / (unions + 1e-5), 1)
    assert metrics.giou(predicted, truth) == pytest.approx(lisas.mean())
    assert metrics.ciou(predicted, truth) == scores["cIoU"]
    assert metrics.iou(*pairs[0]) == pytest.approx(ious[0])
    encoded = [coco.encode(np.asfortranarray(p, np.uint8)) for p in predicted]
    assert metrics.referring(encoded, truth) == scores


@given(masks, masks)
def test_nothing_is_found_where_nothing_is(predicted, truth):
    scores = metrics.generalized([predicted, predicted], [truth, np.zeros((6, 5), bool)])
    assert scores["N-acc"] == float(not predicted.any()) or not truth.any()
    assert metrics.reasoning([predicted], [truth], [~truth])["gIoU"] is not None


@given(arrays.arrays(np.float32, (6, 5), elements=st.floats(0, 1, width=32)), masks)
def test_probabilities_move_the_f_score(soft, truth):
    scores = metrics.audio_visual([soft], [truth])
    if truth.any():
        curve = []
        for threshold in np.linspace(0, 1 - 1e-10, 255):
            on = soft >= np.float32(threshold)
            hit = (on & truth).sum()
            precision, recall = hit / (on.sum() + 1e-20), hit / (truth.sum() + 1e-20)
            bottom = 0.3 * precision + recall
            curve.append(1.3 * precision * recall / bottom if bottom else 0)
        assert scores["F"] == pytest.approx(max(curve), abs=1e-3)
    assert metrics.f_score([truth], [truth]) == pytest.approx(float(truth.any()), abs=1e-6)


def test_bad_samples_are_errors():
    mask, other = np.zeros((2, 2), bool), np.zeros((2, 3), bool)
    for ask in [
        lambda: metrics.ciou([mask], []),
        lambda: metrics.ciou([mask], [other]),
        lambda: metrics.reasoning([mask], [mask], []),
        lambda: metrics.generalized([mask], [mask], [True, False]),
        lambda: metrics.audio_visual([mask], [mask], 0),
        lambda: metrics.audio_visual([np.full((2, 2), np.nan)], [mask]),
        lambda: metrics.audio_visual([np.full((2, 3), 0.5)], [mask]),
        lambda: metrics.iou(mask, np.zeros((2, 2), np.float32)),
    ]:
        with pytest.raises(anyref.AnyRefError):
            ask()
    assert metrics.ciou([], []) is None
