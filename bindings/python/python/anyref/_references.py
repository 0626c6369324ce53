"""References: the ways to point at an object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _native
from ._inputs import corners, native_image, native_mask, native_sound
from ._native import AnyRefError

if TYPE_CHECKING:
    from ._inputs import BoxLike, MaskLike, PictureLike, SoundLike


@dataclass(frozen=True)
class Text:
    """Phrase, such as ``"the dog on the left"``; equivalent to a ``str``."""

    phrase: str

    def _reference(self) -> _native.Reference:
        return _native.Reference.text(self.phrase)


@dataclass(frozen=True)
class Box:
    """Box in the picture asked about, in pixels, right and bottom exclusive."""

    x0: float
    y0: float
    x1: float
    y1: float

    def _reference(self) -> _native.Reference:
        return _native.Reference.region(corners((self.x0, self.y0, self.x1, self.y1)))


@dataclass(frozen=True)
class Region:
    """Region of the picture asked about by its mask, such as one of an answer's.

    Models that read regions as tokens of the picture, such as Sa2VA, take it in its own shape;
    others take the box around it.
    """

    mask: MaskLike

    def _reference(self) -> _native.Reference:
        return _native.Reference.mask(native_mask(self.mask))


@dataclass(frozen=True)
class Image:
    """Picture that shows another such object; ``box`` or ``mask`` selects the object."""

    image: PictureLike
    box: Optional[BoxLike] = None
    mask: Optional[MaskLike] = None

    def _reference(self) -> _native.Reference:
        if self.box is not None and self.mask is not None:
            raise AnyRefError("a reference picture has a box or a mask, not both")
        return _native.Reference.image(
            native_image(self.image),
            None if self.box is None else corners(self.box),
            None if self.mask is None else native_mask(self.mask),
        )


@dataclass(frozen=True)
class Audio:
    """Sound of the object: a path, bytes or ``(samples, rate)``."""

    sound: SoundLike

    def _reference(self) -> _native.Reference:
        return native_sound(self.sound)


if TYPE_CHECKING:
    ReferenceLike = Union[str, Text, Box, Region, Image, Audio]


def native_reference(reference: Any) -> _native.Reference:
    """Converts a reference to the native part's type."""
    if isinstance(reference, str):
        reference = Text(reference)
    if isinstance(reference, (Text, Box, Region, Image, Audio)):
        return reference._reference()
    raise AnyRefError(
        f"a reference is a str, Text, Box, Region, Image or Audio, not {type(reference).__name__}"
    )
