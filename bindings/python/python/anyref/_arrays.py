"""Arrays of the native half."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def floats(array: tuple[bytearray, list[int]]) -> NDArray[np.float32]:
    """An array of 32-bit floats, which shares its memory with the bytes."""
    data, shape = array
    return np.frombuffer(data, np.float32).reshape(shape)
