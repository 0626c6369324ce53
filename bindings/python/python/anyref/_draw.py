"""Masks, boxes and points drawn over a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._native import Corners

#: Colours of masks, as on the command line; the ninth mask has the first again.
COLOURS = (
    (255, 64, 64),
    (56, 156, 255),
    (80, 220, 100),
    (255, 200, 40),
    (200, 90, 255),
    (40, 220, 220),
    (255, 130, 40),
    (255, 120, 190),
)
#: Opacity of a mask's colour over the picture.
OPACITY = 0.42


def colour(index: int) -> tuple[int, int, int]:
    """Colour of mask number ``index``."""
    return COLOURS[index % len(COLOURS)]


def draw(
    pixels: NDArray[np.uint8],
    masks: Sequence[NDArray[np.bool_]],
    boxes: Sequence[Corners] = (),
    points: Sequence[tuple[float, float, bool]] = (),
) -> NDArray[np.uint8]:
    """Copy of the picture with masks tinted and outlined, boxes framed and points dotted."""
    drawn: NDArray[np.uint8] = pixels.copy()
    height, width = drawn.shape[:2]
    reach = max(1, max(height, width) // 1024)
    for index, mask in enumerate(masks):
        tint = np.array(colour(index), np.float32)
        inside = drawn[mask] * np.float32(1 - OPACITY) + tint * np.float32(OPACITY)
        drawn[mask] = inside.astype(np.uint8)
        drawn[mask & ~_eroded(mask, reach)] = colour(index)
    thick = max(1, max(height, width) // 512)
    for box in boxes:
        _frame(drawn, box, thick)
    for x, y, on in points:
        _dot(drawn, x, y, (0, 170, 60) if on else (210, 0, 30))
    return drawn


def _eroded(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Pixels whose neighbours ``reach`` to each side are in the mask."""
    padded = np.pad(mask, reach)
    height, width = mask.shape
    inside: NDArray[np.bool_] = mask.copy()
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        inside &= padded[dy * reach : dy * reach + height, dx * reach : dx * reach + width]
    return inside


def _frame(drawn: NDArray[np.uint8], box: Sequence[float], thick: int) -> None:
    height, width = drawn.shape[:2]
    x0, y0 = max(0, int(box[0])), max(0, int(box[1]))
    x1, y1 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    inner = (slice(y0 + thick, max(y0 + thick, y1 - thick)),) + (
        slice(x0 + thick, max(x0 + thick, x1 - thick)),
    )
    kept: Any = drawn[inner].copy()
    drawn[y0:y1, x0:x1] = 255
    drawn[inner] = kept


def _dot(drawn: NDArray[np.uint8], x: float, y: float, fill: tuple[int, int, int]) -> None:
    height, width = drawn.shape[:2]
    radius = max(3.0, max(height, width) / 100)
    rows, columns = np.ogrid[:height, :width]
    distance = np.hypot(columns - x, rows - y)
    drawn[distance <= radius] = 255
    drawn[distance <= radius * 0.65] = fill
