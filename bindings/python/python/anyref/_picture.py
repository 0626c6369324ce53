"""Pictures and the questions about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from . import _native
from ._answer import Answer
from ._inputs import corners, native_mask, native_points
from ._native import AnyRefError
from ._references import Audio, Box, Image, native_reference

if TYPE_CHECKING:
    from ._inputs import BoxLike, MaskLike, PictureLike, SoundLike
    from ._references import ReferenceLike


@dataclass(frozen=True)
class Question:
    """Question about a picture, made by :meth:`Picture.question`."""

    picture: Picture
    references: tuple[ReferenceLike, ...]
    prompt: Optional[str] = None

    def _asked(self) -> tuple[_native.Picture, list[_native.Reference], Optional[str]]:
        references = [native_reference(reference) for reference in self.references]
        return self.picture._native, references, self.prompt

    def _boxes(self) -> list[_native.Corners]:
        boxes = (one for one in self.references if isinstance(one, Box))
        return [corners((box.x0, box.y0, box.x1, box.y1)) for box in boxes]

    def _answer(self, native: _native.Answer) -> Answer:
        return Answer(native, self.picture._image, self._boxes())


class Picture:
    """Picture encoded by a model, made by :meth:`Model.picture`.

    Any number of questions can be asked about it. It holds memory on the device until it is
    garbage-collected.
    """

    def __init__(
        self, model: _native.Model, image: _native.Image, native: _native.Picture
    ) -> None:
        self._model = model
        self._image = image
        self._native = native

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._native.size

    @property
    def bytes(self) -> int:
        """Memory on the device in bytes."""
        return self._native.bytes

    def question(
        self,
        *references: ReferenceLike,
        box: Optional[BoxLike] = None,
        image: Optional[PictureLike] = None,
        mask: Optional[MaskLike] = None,
        audio: Optional[SoundLike] = None,
        prompt: Optional[str] = None,
    ) -> Question:
        """Question for :meth:`Model.segment_all` and :meth:`Model.describe_all`.

        The arguments are those of :meth:`segment`.
        """
        if mask is not None and image is None:
            raise AnyRefError("mask is the part of image that counts: give image too")
        given = list(references)
        if box is not None:
            given.append(Box(*corners(box)))
        if image is not None:
            given.append(Image(image, mask=mask))
        if audio is not None:
            given.append(Audio(audio))
        return Question(self, tuple(given), prompt)

    def segment(
        self,
        *references: ReferenceLike,
        box: Optional[BoxLike] = None,
        image: Optional[PictureLike] = None,
        mask: Optional[MaskLike] = None,
        audio: Optional[SoundLike] = None,
        points: Optional[Sequence[Sequence[float]]] = None,
        prompt: Optional[str] = None,
        multimask: bool = False,
    ) -> Answer:
        """Segments the referred objects, and names them in a sentence.

        Args:
            references: phrases, or ``Text``, ``Box``, ``Image`` and ``Audio`` in any mixture.
            box: ``x0, y0, x1, y1`` in pixels.
            image: picture that shows another such object.
            mask: mask of the object in ``image``; without ``image``, an earlier mask to refine by
                SAM.
            audio: sound of the object, a path, bytes or ``(samples, rate)``.
            points: ``(x, y)`` on the object, ``(x, y, False)`` off it. Points are answered by SAM
                alone, which takes one box and a mask to refine beside them.
            prompt: question of one's own, with ``{1}``, ``{2}`` … for the references: first
                ``references``, then ``box``, ``image`` and ``audio``.
            multimask: whether to return three masks for points, the best first.

        Raises:
            AnyRefError: when a reference does not fit the picture, or the model cannot take it.
        """
        refine = mask if image is None else None
        clicked = points is not None or refine is not None or multimask
        question = self.question(
            *references,
            box=box,
            image=image,
            mask=None if image is None else mask,
            audio=audio,
            prompt=prompt,
        )
        boxes = question._boxes()
        alone = prompt is None and len(boxes) == len(question.references)
        if clicked and not alone:
            raise AnyRefError(
                "points, a mask to refine and multimask ask SAM alone, which takes boxes beside "
                "them and nothing else"
            )
        if not clicked and (self._model.speaks or not alone):
            [answer] = self._model.answer([question._asked()], False)
            return question._answer(raise_error(answer))
        clicks = native_points(points)
        earlier = None if refine is None else native_mask(refine)
        answer = self._model.masks(self._native, clicks, boxes, earlier, multimask)
        return Answer(answer, self._image, boxes, clicks)

    def describe(
        self,
        *references: ReferenceLike,
        box: Optional[BoxLike] = None,
        image: Optional[PictureLike] = None,
        mask: Optional[MaskLike] = None,
        audio: Optional[SoundLike] = None,
        prompt: Optional[str] = None,
    ) -> Answer:
        """Describes the content of a box, or of any reference; arguments of :meth:`segment`.

        Raises:
            AnyRefError: as in :meth:`segment`.
        """
        question = self.question(
            *references, box=box, image=image, mask=mask, audio=audio, prompt=prompt
        )
        [answer] = self._model.answer([question._asked()], True)
        return question._answer(raise_error(answer))

    def chat(self) -> Chat:
        """Starts a conversation about the picture."""
        return Chat(self)

    def __repr__(self) -> str:
        width, height = self.size
        return f"Picture({width}x{height}, {self.bytes / 1e6:.1f} MB)"


class Stream(Iterator[str]):
    """Answer that is being generated.

    Iterate over the pieces of its text, then take :attr:`answer`.
    """

    def __init__(self, question: Question, native: _native.Stream) -> None:
        self._question = question
        self._native = native

    def __next__(self) -> str:
        piece = self._native.piece()
        if piece is None:
            raise StopIteration
        return piece

    @property
    def answer(self) -> Answer:
        """Answer with its masks; waits until it is complete."""
        return self._question._answer(self._native.answer())

    def stop(self) -> None:
        """Stops the answer; the conversation is then as before the question."""
        self._native.stop()


class Chat:
    """Conversation about a picture, made by :meth:`Picture.chat`.

    >>> chat = picture.chat()
    >>> stream = chat.ask("Where is the gorilla?")
    >>> for piece in stream:
    ...     print(piece, end="")
    >>> stream.answer.masks
    """

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._native = _native.Chat(picture._native)

    def ask(
        self,
        prompt: Optional[str] = None,
        *references: ReferenceLike,
        box: Optional[BoxLike] = None,
        image: Optional[PictureLike] = None,
        mask: Optional[MaskLike] = None,
        audio: Optional[SoundLike] = None,
    ) -> Stream:
        """Asks the next question; ``{1}`` in it stands for the first reference.

        Raises:
            AnyRefError: as in :meth:`Picture.segment`, and while an answer is being generated.
        """
        question = self._picture.question(
            *references, box=box, image=image, mask=mask, audio=audio, prompt=prompt
        )
        _, asked, prompt = question._asked()
        return Stream(question, self._native.ask(asked, prompt))

    def clear(self) -> None:
        """Forgets all earlier questions and answers."""
        self._native.clear()

    def __len__(self) -> int:
        """Number of answered questions."""
        return self._native.answered()


def raise_error(answer: _native.Answer | AnyRefError) -> _native.Answer:
    """Returns the answer, or raises the error in its place."""
    if isinstance(answer, BaseException):
        raise answer
    return answer
