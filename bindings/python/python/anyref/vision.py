"""Picture encoders alone, arrays in and out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Optional, Union

from . import _native
from ._answer import Mask
from ._arrays import floats
from ._inputs import native_image
from ._model import NANO, Model, load

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ._inputs import BoxLike, MaskLike, PictureLike
    from ._picture import Picture

__all__ = ["AutomaticMask", "Clip", "Sam"]


class Clip:
    """CLIP vision tower of a model."""

    def __init__(
        self,
        model: Union[str, os.PathLike[str]] = NANO,
        device: str = "cpu",
        dtype: str = "auto",
    ) -> None:
        """Loads the tower; ``model`` as in :func:`anyref.load`.

        Raises:
            AnyRefError: when the model is missing or damaged, or has no CLIP.
        """
        path = None if model == NANO else model
        self._native = _native.Encoders.load(path, device, dtype)

    def features(self, image: PictureLike, layer: Optional[int] = None) -> NDArray[np.float32]:
        """Features of patches x hidden, without the class token.

        Args:
            image: a picture of any form and size.
            layer: index of the hidden state, from the end if negative; by default the model's own,
                usually -2.

        Raises:
            AnyRefError: when there is no such layer.
        """
        return floats(self._native.picture(native_image(image), layer))

    __call__ = features


class AutomaticMask(NamedTuple):
    """Mask found without a prompt."""

    mask: Mask
    #: IoU estimate of the mask decoder.
    predicted_iou: float
    #: IoU of the masks at a higher and at a lower threshold.
    stability_score: float
    #: Point that prompted for the mask.
    point: tuple[float, float]
    #: Crop of the picture that was encoded.
    crop_box: tuple[int, int, int, int]


class Sam:
    """SAM, alone or as a part of a model."""

    def __init__(
        self,
        model: Union[str, os.PathLike[str], Model] = NANO,
        device: str = "cpu",
        dtype: str = "auto",
    ) -> None:
        """Loads a published SAM or a model of :func:`anyref.load`, or takes a loaded model.

        Raises:
            AnyRefError: when the model is missing or damaged.
        """
        self.model = model if isinstance(model, Model) else load(model, device, dtype)

    def picture(self, image: PictureLike) -> Picture:
        """Encodes a picture, once for all prompts."""
        return self.model.picture(image)

    def predict(
        self,
        picture: Union[Picture, PictureLike],
        points: Optional[Sequence[Sequence[float]]] = None,
        box: Optional[BoxLike] = None,
        mask: Optional[MaskLike] = None,
        multimask: bool = False,
    ) -> list[Mask]:
        """Predicts masks for points, a box and an earlier mask.

        With ``multimask`` there are three, the best first.

        Raises:
            AnyRefError: when nothing is pointed at, or the prompt does not fit the picture.
        """
        from ._picture import Picture

        encoded = picture if isinstance(picture, Picture) else self.model.picture(picture)
        clicks = () if points is None else points
        return encoded.segment(points=clicks, box=box, mask=mask, multimask=multimask).masks

    def masks(
        self,
        image: PictureLike,
        points_per_side: int = 32,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        min_mask_region_area: int = 0,
    ) -> list[AutomaticMask]:
        """Finds every mask of a picture, with the options of segment-anything's generator.

        Raises:
            AnyRefError: when an option is out of range.
        """
        found = self.model._native.automatic(
            native_image(image),
            points_per_side,
            pred_iou_thresh,
            stability_score_thresh,
            box_nms_thresh,
            crop_n_layers,
            min_mask_region_area,
        )
        return [AutomaticMask(Mask(one[0]), *one[1:]) for one in found]
