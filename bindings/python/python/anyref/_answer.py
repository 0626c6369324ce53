"""Answers and their masks."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

import numpy as np

from . import _native
from ._draw import colour, draw
from ._native import AnyRefError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as PilImage

    from ._inputs import MaskLike

#: Token of a mask in the answer as generated.
OBJECT = "<obj>"


class Timing(NamedTuple):
    """Seconds spent in each part of an answer."""

    #: Encoding of the picture; zero for every question after the first.
    image: float
    #: Encoding of sounds.
    audio: float
    #: Encoding of other references, and building of the prompt.
    prompt: float
    #: Generation of the answer.
    generate: float
    #: Decoding of masks.
    decode: float

    @property
    def total(self) -> float:
        """Seconds of all parts."""
        return sum(self)


class Mask:
    """Mask in the size of its picture."""

    __slots__ = ("_native", "_words")

    def __init__(
        self, native: _native.Mask, words: Optional[tuple[int, int]] = None
    ) -> None:
        self._native = native
        self._words = words

    @classmethod
    def of(cls, mask: MaskLike) -> Mask:
        """Builds a mask from a path, bytes, an array, a PIL image or COCO's run lengths."""
        from ._inputs import native_mask

        return cls(native_mask(mask))

    def numpy(self) -> NDArray[np.bool_]:
        """New ``bool`` array of height x width."""
        pixels = np.frombuffer(self._native.pixels(), dtype=np.bool_)
        return pixels.reshape(self._native.size)

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a mask is decoded into a new array")
        return self.numpy() if dtype is None else self.numpy().astype(dtype)

    @property
    def rle(self) -> dict[str, Any]:
        """COCO's compressed run lengths, for pycocotools and JSON."""
        return {"size": list(self._native.size), "counts": self._native.compressed()}

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._native.size

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in pixels, right and bottom exclusive."""
        return self._native.bounds

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self._native.area

    @property
    def score(self) -> float:
        """IoU estimated by the model, 0 to 1."""
        return self._native.score

    @property
    def words(self) -> Optional[tuple[int, int]]:
        """Start and end, in the answer's text, of the words that name the masked object.

        ``None`` if unknown: for masks of points, and for answers with left out masks.
        """
        return self._words

    def polygon(self) -> list[NDArray[np.int64]]:
        """Closed lines along the edges of its pixels, arrays of corners x 2 (x, y).

        Filled by the even-odd rule they give the mask; holes are lines too.
        """
        return [np.array(ring, np.int64).reshape(-1, 2) for ring in self._native.rings()]

    def __repr__(self) -> str:
        return f"Mask(box={self.box}, area={self.area}, score={self.score:.3f})"


class Answer:
    """Sentence with the masks of the objects that it names.

    A notebook shows the picture with its masks, and the sentence in the masks' colours.
    """

    def __init__(
        self,
        native: _native.Answer,
        image: _native.Image,
        boxes: Sequence[_native.Corners] = (),
        points: Sequence[tuple[float, float, bool]] = (),
    ) -> None:
        self._native = native
        self._image = image
        self._boxes = tuple(boxes)
        self._points = tuple(points)
        masks = native.masks
        spans = [mask.words for mask in masks]
        if not any(spans):
            spans = _spans(native.raw, native.text, len(masks), native.left_out)
        self.masks: list[Mask] = [Mask(mask, span) for mask, span in zip(masks, spans)]

    @property
    def text(self) -> str:
        """Sentence of the answer."""
        return self._native.text

    @property
    def raw(self) -> str:
        """Sentence as generated, with ``<obj>`` where it points at an object."""
        return self._native.raw

    @property
    def left_out(self) -> int:
        """Number of masks left out because of their low estimated IoU."""
        return self._native.left_out

    @property
    def bridges(self) -> list[str]:
        """Substitutes of references that the model was not trained with."""
        return self._native.bridges

    @property
    def timing(self) -> Timing:
        """Seconds spent in each part."""
        return Timing(*self._native.timing)

    def overlay(self) -> PilImage:
        """Picture with masks, boxes and points drawn over it; needs Pillow."""
        try:
            from PIL import Image
        except ImportError:
            raise AnyRefError(
                "overlay() needs Pillow: pip install pillow, or take overlay_array()"
            ) from None
        return Image.fromarray(self.overlay_array())

    def overlay_array(self) -> NDArray[np.uint8]:
        """Picture of :meth:`overlay` as an array of height x width x 3."""
        width, height = self._image.size
        pixels = np.frombuffer(self._image.rgb(), np.uint8).reshape(height, width, 3)
        masks = [mask.numpy() for mask in self.masks]
        return draw(pixels, masks, self._boxes, self._points)

    def to_supervision(self) -> Any:
        """Converts to supervision's ``Detections``: boxes, masks, scores, words as ``class_name``.

        Needs supervision.
        """
        try:
            import supervision
        except ImportError:
            raise AnyRefError(
                "to_supervision() needs supervision: pip install supervision"
            ) from None
        if not self.masks:
            return supervision.Detections.empty()
        return supervision.Detections(
            xyxy=np.array([mask.box for mask in self.masks], np.float32),
            mask=np.stack([mask.numpy() for mask in self.masks]),
            confidence=np.array([mask.score for mask in self.masks], np.float32),
            class_id=np.arange(len(self.masks)),
            data={"class_name": np.array([self._words_of(mask) for mask in self.masks])},
        )

    def _words_of(self, mask: Mask) -> str:
        if mask.words is None:
            return self.text
        start, end = mask.words
        return self.text[start:end]

    def _repr_png_(self) -> bytes:
        drawn = self.overlay_array()
        height, width, _ = drawn.shape
        return _native.Image.from_rgb(drawn.tobytes(), width, height).png()

    def _repr_html_(self) -> str:
        png = base64.b64encode(self._repr_png_()).decode("ascii")
        return (
            f'<figure style="margin:0"><img src="data:image/png;base64,{png}" '
            f'alt="{html.escape(self.text)}"/>'
            f"<figcaption>{self._sentence()}</figcaption></figure>"
        )

    def _sentence(self) -> str:
        """Text as HTML, with words underlined in their mask's colour."""
        pieces, at = [], 0
        for index, mask in enumerate(self.masks):
            if mask.words is None:
                continue
            start, end = mask.words
            red, green, blue = colour(index)
            style = f"border-bottom:3px solid rgb({red},{green},{blue})"
            pieces.append(html.escape(self.text[at:start]))
            words = html.escape(self.text[start:end])
            pieces.append(f'<span style="{style}" title="{mask.score:.2f}">{words}</span>')
            at = end
        pieces.append(html.escape(self.text[at:]))
        return "".join(pieces)

    def __repr__(self) -> str:
        return f"Answer({self.text!r}, masks={self.masks})"


def _spans(
    raw: str, text: str, masks: int, left_out: int
) -> list[Optional[tuple[int, int]]]:
    """Span of each mask's words: from the mask before, or from the start."""
    unknown: list[Optional[tuple[int, int]]] = [None] * masks
    pieces = raw.split(OBJECT)
    if left_out or len(pieces) != masks + 1:
        return unknown
    spans: list[Optional[tuple[int, int]]] = []
    at = 0
    for piece in pieces[:-1]:
        words = piece.strip(" ,.;:")
        start = text.find(words, at) if words else -1
        if start < 0:
            return unknown
        at = start + len(words)
        spans.append((start, at))
    return spans
