"""Conversion of pictures, masks and sounds of all forms to the native part's types."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np

from . import _native
from ._native import AnyRefError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as PilImage

    from ._answer import Mask

    PictureLike = Union[str, os.PathLike[str], bytes, NDArray[np.uint8], PilImage]
    MaskLike = Union[
        str, os.PathLike[str], bytes, NDArray[Any], PilImage, Mapping[str, Any], Mask
    ]
    SoundLike = Union[str, os.PathLike[str], bytes, tuple[Any, int]]
    BoxLike = Union[Sequence[float], NDArray[Any]]

#: Smallest grey value at which a mask's picture is on.
BRIGHT = 128


def is_pil(value: object) -> bool:
    """Whether ``value`` is a PIL image; does not import Pillow."""
    return any(
        kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(value).__mro__
    )


def native_image(picture: PictureLike) -> _native.Image:
    """Converts a picture to 8-bit RGB."""
    if isinstance(picture, (str, os.PathLike)):
        return _native.Image.open(picture)
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return _native.Image.decode(bytes(picture))
    if is_pil(picture):
        picture = _pil_array(picture)
    if isinstance(picture, np.ndarray):
        if picture.ndim != 3 or picture.shape[2] != 3:
            raise AnyRefError(
                f"a picture is an array of height x width x 3, not of {_shape(picture)}"
            )
        if picture.dtype != np.uint8:
            raise AnyRefError(f"a picture is an array of uint8, not of {picture.dtype}")
        height, width, _ = picture.shape
        return _native.Image.from_rgb(picture.tobytes(), width, height)
    raise AnyRefError(
        f"a picture is a path, bytes, an array or a PIL image, not {type(picture).__name__}"
    )


def native_mask(mask: MaskLike) -> _native.Mask:
    """Converts a mask to run lengths."""
    from ._answer import Mask

    if isinstance(mask, Mask):
        return mask._native
    if isinstance(mask, Mapping):
        return _mask_of_rle(mask)
    if isinstance(mask, (str, os.PathLike)):
        return _native.Image.open_mask(mask)
    if isinstance(mask, (bytes, bytearray, memoryview)):
        return _native.Image.decode_mask(bytes(mask))
    if is_pil(mask):
        pil: Any = mask
        mask = np.asarray(pil.convert("L")) >= BRIGHT
    if isinstance(mask, np.ndarray):
        if mask.ndim != 2:
            raise AnyRefError(f"a mask is an array of height x width, not of {_shape(mask)}")
        if not (mask.dtype == np.bool_ or np.issubdtype(mask.dtype, np.integer)):
            raise AnyRefError(f"a mask is an array of bool or integers, not of {mask.dtype}")
        height, width = mask.shape
        return _native.Mask.from_pixels((mask != 0).tobytes(), height, width)
    raise AnyRefError(
        "a mask is a path, bytes, an array, a PIL image, COCO's run lengths or a Mask, "
        f"not {type(mask).__name__}"
    )


def native_sound(sound: SoundLike) -> _native.Reference:
    """Converts a sound to a reference."""
    if isinstance(sound, (str, os.PathLike)):
        return _native.Reference.open_sound(sound)
    if isinstance(sound, (bytes, bytearray, memoryview)):
        return _native.Reference.decode_sound(bytes(sound))
    if isinstance(sound, tuple) and len(sound) == 2:
        samples, rate = np.asarray(sound[0]), sound[1]
        if samples.ndim != 1:
            raise AnyRefError(f"samples are of one channel, an array of {_shape(samples)}")
        if np.issubdtype(samples.dtype, np.floating):
            samples = samples.astype(np.float32)
        elif samples.dtype == np.int16:
            samples = samples.astype(np.float32) / np.float32(32768)
        else:
            raise AnyRefError(f"samples are floats from -1 to 1 or int16, not {samples.dtype}")
        if not 0 < int(rate) < 1 << 32:
            raise AnyRefError(f"the sample rate is {rate}: give samples a second")
        return _native.Reference.sound(samples.tobytes(), int(rate))
    raise AnyRefError(
        f"a sound is a path, bytes or (samples, rate), not {type(sound).__name__}"
    )


def corners(box: BoxLike) -> _native.Corners:
    """Converts a box to four numbers."""
    try:
        x0, y0, x1, y1 = (float(number) for number in box)
    except (TypeError, ValueError):
        raise AnyRefError(f"box {box!r} is not four numbers: give x0, y0, x1, y1") from None
    return x0, y0, x1, y1


def native_points(points: Optional[Sequence[Sequence[float]]]) -> list[tuple[float, float, bool]]:
    """Converts points ``(x, y)`` on an object, and ``(x, y, on)`` on or off it."""
    found = []
    for point in () if points is None else points:
        try:
            numbers = [float(number) for number in point]
        except (TypeError, ValueError):
            numbers = []
        if len(numbers) not in (2, 3):
            raise AnyRefError(f"point {point!r} is not (x, y) or (x, y, on)")
        found.append((numbers[0], numbers[1], len(numbers) == 2 or bool(numbers[2])))
    return found


def _mask_of_rle(rle: Mapping[str, Any]) -> _native.Mask:
    try:
        height, width = (int(side) for side in rle["size"])
        counts = rle["counts"]
    except (KeyError, TypeError, ValueError):
        raise AnyRefError("run lengths are a dict of size, (height, width), and counts") from None
    if isinstance(counts, bytes):
        counts = counts.decode("ascii", "replace")
    if isinstance(counts, str):
        return _native.Mask.from_compressed(counts, height, width)
    return _native.Mask.from_counts([int(count) for count in counts], height, width)


def _pil_array(picture: Any) -> NDArray[np.uint8]:
    """Pixels as a viewer shows them: rotated by EXIF, transparency over white."""
    from PIL import ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        rgba = np.asarray(picture.convert("RGBA")).astype(np.uint32)
        alpha = rgba[..., 3:]
        over = (rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
        return over.astype(np.uint8)
    if picture.mode.startswith("I;16"):
        grey = ((np.asarray(picture).astype(np.uint32) + 128) // 257).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.asarray(picture.convert("RGB"))


def _shape(array: NDArray[Any]) -> str:
    return " x ".join(str(side) for side in array.shape) or "no dimension"
