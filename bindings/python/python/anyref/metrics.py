"""Scores of masks, equal to those of the benchmarks' own code.

Masks are arrays of bool or integers, COCO's run lengths, ``Mask``, paths or PIL images. A score
that is undefined for the samples, such as a mean over nothing, is ``None``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from . import _native
from ._inputs import native_mask
from ._native import AnyRefError

if TYPE_CHECKING:
    from ._inputs import MaskLike

__all__ = [
    "audio_visual",
    "ciou",
    "f_score",
    "generalized",
    "giou",
    "iou",
    "reasoning",
    "referring",
]

#: Probability from which a pixel of a soft mask is on.
HALF = 0.5
#: Frames of a video of AVSBench, which its test script scores in one batch.
FRAMES = 5


def iou(predicted: MaskLike, truth: MaskLike) -> float:
    """Intersection over union of two masks; 0 for two empty ones."""
    return _native.iou(native_mask(predicted), native_mask(truth))


def ciou(predicted: Sequence[MaskLike], truth: Sequence[MaskLike]) -> Optional[float]:
    """Sum of intersections over sum of unions."""
    return referring(predicted, truth)["cIoU"]


def giou(predicted: Sequence[MaskLike], truth: Sequence[MaskLike]) -> Optional[float]:
    """Mean IoU as in LISA's evaluation: a sample without any mask counts 1."""
    return referring(predicted, truth)["gIoU"]


def f_score(
    predicted: Sequence[Any], truth: Sequence[MaskLike], batch_size: int = FRAMES
) -> Optional[float]:
    """F-score of AVSBench, with β² = 0.3; see :func:`audio_visual`."""
    return audio_visual(predicted, truth, batch_size)["F"]


def referring(
    predicted: Sequence[MaskLike], truth: Sequence[MaskLike]
) -> dict[str, Optional[float]]:
    """``cIoU``, ``gIoU`` (LISA's), ``mIoU`` (LAVT's) and ``Pr@X`` of referring expressions."""
    return dict(_native.referring(_pairs(predicted, truth)))


def reasoning(
    predicted: Sequence[MaskLike],
    truth: Sequence[MaskLike],
    ignored: Optional[Sequence[MaskLike]] = None,
) -> dict[str, Optional[float]]:
    """``gIoU`` and ``cIoU`` of ReasonSeg; pixels in ``ignored`` belong to no mask."""
    pairs = _pairs(predicted, truth)
    left_out = [] if ignored is None else [native_mask(mask) for mask in ignored]
    if ignored is not None and len(left_out) != len(pairs):
        raise AnyRefError(f"there are {len(left_out)} masks to ignore for {len(pairs)} samples")
    return dict(_native.reasoning(pairs, left_out))


def generalized(
    predicted: Sequence[MaskLike],
    truth: Sequence[MaskLike],
    says_none: Optional[Sequence[bool]] = None,
    is_none: Optional[Sequence[bool]] = None,
) -> dict[str, Optional[float]]:
    """``cIoU``, ``gIoU``, ``N-acc``, ``T-acc`` and ``Pr@X`` of gRefCOCO.

    Args:
        predicted: predicted masks.
        truth: true masks, those of a sample united.
        says_none: whether the system states that there is no target; by default, whether the mask
            is empty.
        is_none: whether there is no target; by default, whether the mask is empty.
    """
    pairs = _pairs(predicted, truth)
    says = [one.area == 0 for one, _ in pairs] if says_none is None else [*map(bool, says_none)]
    is_ = [other.area == 0 for _, other in pairs] if is_none is None else [*map(bool, is_none)]
    if not len(says) == len(is_) == len(pairs):
        raise AnyRefError(f"says_none and is_none need a value for each of {len(pairs)} samples")
    return dict(_native.generalized(pairs, [*zip(says, is_)]))


def audio_visual(
    predicted: Sequence[Any], truth: Sequence[MaskLike], batch_size: int = FRAMES
) -> dict[str, Optional[float]]:
    """``mIoU`` and ``F`` of AVSBench, frames in the order of their videos.

    Args:
        predicted: masks, or arrays of probabilities from 0 to 1, which are on from 0.5.
        truth: true masks.
        batch_size: number of frames in a batch; the benchmark's is one video, 5.
    """
    if batch_size < 1:
        raise AnyRefError(f"batch_size is {batch_size}: give 1 or more")
    _check_lengths(predicted, truth)
    frames = []
    for one, other in zip(predicted, truth):
        soft = None
        if isinstance(one, np.ndarray) and np.issubdtype(one.dtype, np.floating):
            if not ((one >= 0) & (one <= 1)).all():
                raise AnyRefError("a probability is not from 0 to 1")
            soft = one.astype(np.float32).tobytes()
            one = one >= HALF
        frames.append((native_mask(one), native_mask(other), soft))
    batches = [frames[at : at + batch_size] for at in range(0, len(frames), batch_size)]
    return dict(_native.audio_visual(batches))


def _pairs(predicted: Sequence[MaskLike], truth: Sequence[MaskLike]) -> _native_pairs:
    _check_lengths(predicted, truth)
    return [(native_mask(one), native_mask(other)) for one, other in zip(predicted, truth)]


def _check_lengths(predicted: Sequence[Any], truth: Sequence[Any]) -> None:
    if len(predicted) != len(truth):
        raise AnyRefError(
            f"there are {len(predicted)} predicted masks and {len(truth)} true ones: give as many"
        )


if TYPE_CHECKING:
    _native_pairs = list[tuple[_native.Mask, _native.Mask]]
