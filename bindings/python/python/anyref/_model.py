"""Models."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

from . import _native
from ._answer import Answer
from ._inputs import native_image
from ._native import AnyRefError
from ._picture import Picture, Question

if TYPE_CHECKING:
    from ._inputs import PictureLike

#: Name of the model shipped in the package.
NANO = "nano"


class Part(NamedTuple):
    """Part of a model."""

    name: str
    #: Number of its parameters.
    parameters: int
    #: Memory of its parameters in bytes.
    bytes: int


class Model:
    """Model on a device, made by :func:`load`; several threads may use it at once."""

    def __init__(self, native: _native.Model) -> None:
        self._native = native

    @property
    def name(self) -> str:
        """Name in the model's configuration."""
        return self._native.name

    @property
    def device(self) -> str:
        """Name of the backend and of its device."""
        return f"{self._native.backend}: {self._native.device}"

    @property
    def hears(self) -> bool:
        """Whether the model takes sounds as references."""
        return self._native.hears

    @property
    def speaks(self) -> bool:
        """Whether questions are answered in words; a SAM alone gives masks."""
        return self._native.speaks

    @property
    def parts(self) -> list[Part]:
        """Parts of the model with their sizes."""
        return [Part(*part) for part in self._native.parts]

    @property
    def load_time(self) -> float:
        """Loading time in seconds."""
        return self._native.load_time

    def picture(self, image: PictureLike) -> Picture:
        """Encodes a picture, once for all questions about it.

        Args:
            image: a path, the bytes of a file, a PIL image, or an array of height x width x 3 and
                uint8 with any strides.

        Raises:
            AnyRefError: when the picture cannot be read.
        """
        native = native_image(image)
        return Picture(self._native, native, self._native.encode(native))

    def segment_all(
        self,
        questions: Iterable[Union[Question, tuple[Any, ...]]],
        return_errors: bool = False,
    ) -> list[Any]:
        """Answers several questions, in batches as large as their memory allows.

        Args:
            questions: made by :meth:`Picture.question`, or tuples of a picture and references.
            return_errors: whether questions that cannot be answered give their error instead of an
                answer; otherwise the first error is raised.
        """
        return self._all(questions, return_errors, describe=False)

    def describe_all(
        self,
        questions: Iterable[Union[Question, tuple[Any, ...]]],
        return_errors: bool = False,
    ) -> list[Any]:
        """Describes the references of several questions; arguments of :meth:`segment_all`."""
        return self._all(questions, return_errors, describe=True)

    def _all(
        self,
        questions: Iterable[Union[Question, tuple[Any, ...]]],
        return_errors: bool,
        describe: bool,
    ) -> list[Union[Answer, AnyRefError]]:
        asked = [_question(question) for question in questions]
        answers = self._native.answer([question._asked() for question in asked], describe)
        found: list[Union[Answer, AnyRefError]] = []
        for question, answer in zip(asked, answers):
            if not isinstance(answer, BaseException):
                found.append(question._answer(answer))
            elif return_errors:
                found.append(answer)
            else:
                raise answer
        return found

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {self.device!r}, {self._bytes() / 1e6:.1f} MB)"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(part.name)}</td><td>{part.parameters:,}</td>"
            f"<td>{part.bytes / 1e6:,.1f} MB</td></tr>"
            for part in self.parts
        )
        title = f"{html.escape(self.name)} on {html.escape(self.device)}"
        return (
            f"<table><caption>{title}</caption><tr><th>part</th><th>parameters</th>"
            f"<th>memory</th></tr>{rows}<tr><th>all</th>"
            f"<th>{sum(part.parameters for part in self.parts):,}</th>"
            f"<th>{self._bytes() / 1e6:,.1f} MB</th></tr></table>"
        )

    def _bytes(self) -> int:
        return sum(part.bytes for part in self.parts)


def load(
    model: Union[str, os.PathLike[str]] = NANO,
    device: str = "cpu",
    dtype: str = "auto",
    *,
    temperature: float = 0.0,
    seed: int = 0,
    max_new_tokens: Optional[int] = None,
    min_score: Optional[float] = None,
    candidates: Optional[int] = None,
    keep_all: bool = False,
    sound_threshold: Optional[float] = None,
    clip: Union[str, os.PathLike[str], None] = None,
    imagebind: Union[str, os.PathLike[str], None] = None,
    sound_labels: Union[str, os.PathLike[str], None] = None,
    kv_cache: str = "f32",
    ignore_memory: bool = False,
    tiles: Optional[int] = None,
) -> Model:
    """Loads a model.

    Args:
        model: ``"nano"``, shipped in the package; a folder or file; or ``"hf://org/name"``.
        device: ``"cpu"``, ``"cuda"``, ``"vulkan"``, ``"metal"``, ``"webgpu"`` or ``"wgpu"``, if the
            package was built with it; ``"cuda:1"`` is the second device.
        dtype: data type of the weights, ``"auto"``, ``"f32"``, ``"f16"`` or ``"bf16"``.
        temperature: sampling temperature; 0 decodes greedily.
        seed: seed of sampled answers.
        max_new_tokens: largest number of tokens in an answer.
        min_score: smallest estimated IoU of masks; others are left out.
        candidates: number of likely answers that are reranked by their masks.
        keep_all: whether all masks for a reference picture are kept, if the model was not trained
            with pictures.
        sound_threshold: smallest probability of a sound's labels, if ImageBind turns sounds into
            words for the model.
        clip: folder of CLIP, for a LISA.
        imagebind: file of ImageBind, which turns sounds into words. Its weights are for
            non-commercial use.
        sound_labels: file of the labels for sounds.
        kv_cache: data type of stored keys and values of the language model, ``"f32"`` (as they are
            computed), ``"f16"``, ``"bf16"`` or ``"q8_0"``.
        ignore_memory: whether a large model is loaded even if too little memory is free.
        tiles: largest number of tiles of a picture, for a model that reads tiles, such as Sa2VA.

    Raises:
        AnyRefError: when an option is out of range, the model is missing or damaged, or the
            device does not start.
    """
    return Model(
        _native.load(
            None if model == NANO else model,
            device,
            dtype,
            temperature=temperature,
            seed=seed,
            max_new_tokens=max_new_tokens,
            min_score=min_score,
            candidates=candidates,
            keep_all=keep_all,
            sound_threshold=sound_threshold,
            clip=clip,
            imagebind=imagebind,
            sound_labels=sound_labels,
            kv_cache=kv_cache,
            cache=_cache(),
            ignore_memory=ignore_memory,
            tiles=tiles,
        )
    )


def _cache() -> Optional[Path]:
    """Folder that caches ImageBind's embeddings of labels, shared with the command line."""
    own = os.environ.get("ANYREF_CACHE")
    if own:
        return Path(own)
    users = os.environ.get("XDG_CACHE_HOME")
    home = os.environ.get("HOME")
    folder = Path(users) if users else Path(home) / ".cache" if home else None
    return folder / "anyref" if folder else None


def _question(question: Union[Question, tuple[Any, ...]]) -> Question:
    if isinstance(question, Question):
        return question
    if isinstance(question, tuple) and question and isinstance(question[0], Picture):
        return question[0].question(*question[1:])
    raise AnyRefError(
        "a question is made by Picture.question, or a tuple of a picture and references"
    )
