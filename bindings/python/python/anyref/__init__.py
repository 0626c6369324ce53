"""Point at things in pictures by text, box, picture or sound; get a mask and a sentence.

>>> import anyref
>>> model = anyref.load()                    # nano, which is in the package
>>> picture = model.picture("scene1.jpg")    # encoded once
>>> answer = picture.segment("the gorilla")
>>> answer.text, answer.masks[0].box
>>> answer.masks[0].numpy()                  # bool, height x width

Models, pictures and answers may be used by several threads. Computations run without Python's
lock, and Ctrl-C interrupts them. Errors are :class:`AnyRefError`.
"""

from __future__ import annotations

from ._answer import Answer, Mask, Timing
from ._model import Model, Part, load
from ._native import AnyRefError, __version__
from ._picture import Chat, Picture, Question, Stream
from ._references import Audio, Box, Image, Region, Text

__all__ = [
    "Answer",
    "AnyRefError",
    "Audio",
    "Box",
    "Chat",
    "Image",
    "Mask",
    "Model",
    "Part",
    "Picture",
    "Question",
    "Region",
    "Stream",
    "Text",
    "Timing",
    "__version__",
    "load",
]
