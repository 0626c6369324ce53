"""Arrays of the native part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def floats(array: tuple[bytearray, list[int]]) -> NDArray[np.float32]:
    """Array of 32-bit floats that shares its memory with the bytes."""
    data, shape = array
    return np.frombuffer(data, np.float32).reshape(shape)
