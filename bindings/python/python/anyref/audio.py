"""Sound encoder alone, arrays in and out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Union

from . import _native
from ._arrays import floats
from ._inputs import native_sound
from ._model import NANO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ._inputs import SoundLike

__all__ = ["ImageBind"]


class ImageBind:
    """ImageBind audio encoder of a model."""

    def __init__(
        self,
        model: Union[str, os.PathLike[str]] = NANO,
        device: str = "cpu",
        dtype: str = "auto",
    ) -> None:
        """Loads the encoder; ``model`` as in :func:`anyref.load`.

        Raises:
            AnyRefError: when the model is missing or damaged.
        """
        path = None if model == NANO else model
        self._native = _native.Encoders.load(path, device, dtype)

    def embed(self, sound: SoundLike) -> NDArray[np.float32]:
        """Embeds each clip of the sound, clips x width.

        Args:
            sound: a path, bytes or ``(samples, rate)``.

        Raises:
            AnyRefError: when the sound is silent, or the model has no audio encoder.
        """
        return floats(self._native.sound(native_sound(sound)))

    __call__ = embed
