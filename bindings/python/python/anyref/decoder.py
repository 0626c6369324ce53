"""Refocusing alone, arrays in and out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _native
from ._arrays import floats
from ._native import AnyRefError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ObjectToken", "refocus"]


class ObjectToken(NamedTuple):
    """Positions of an object's state and of the words before it, counted from the first key."""

    #: Row of the batch.
    row: int
    #: Position of the state.
    position: int
    #: First state of the span.
    start: int
    #: One after the last state of the span.
    end: int
    #: First position that is not padding.
    context_start: int = 0


def refocus(
    query: Any,
    key: Any,
    hidden: Any,
    objects: Sequence[ObjectToken],
    hidden_offset: int = 0,
    weight: float = 1.0,
    device: str = "cpu",
) -> NDArray[np.float32]:
    """Adds to the state of each object the states of its span, weighted by its attention.

    ``h'_p = h_p + weight * sum_j (a_j / sum_k a_k) * h_j`` over the span, where ``a`` is the last
    layer's attention of the object's position, averaged over heads.

    Args:
        query: objects x heads x width, after rotary embedding.
        key: batch x key heads x length x width, after rotary embedding.
        hidden: batch x length from ``hidden_offset`` on x hidden.
        objects: objects in the order of ``query``.
        hidden_offset: position of the first hidden state.
        weight: λ, factor of the added states.
        device: as in :func:`anyref.load`.

    Returns:
        objects x hidden.

    Raises:
        AnyRefError: when the arrays and the objects do not fit one another.
    """
    queries, keys = _array(query, 3, "query"), _array(key, 4, "key")
    states = _array(hidden, 3, "hidden")
    count, heads, width = queries.shape
    rows, key_heads, length, key_width = keys.shape
    first, last = hidden_offset, hidden_offset + states.shape[1]
    if count != len(objects):
        raise AnyRefError(f"there are {count} queries for {len(objects)} objects")
    if width != key_width or states.shape[0] != rows or not key_heads or heads % key_heads:
        raise AnyRefError(
            f"query {queries.shape}, key {keys.shape} and hidden {states.shape} do not fit"
        )
    for one in objects:
        row, position, start, end, context_start = one
        begin = max(start, context_start)
        empty = min(end, position + 1) <= begin
        if (
            min(row, position, start, end, context_start) < 0
            or row >= rows
            or not context_start <= position < length
            or not first <= position < last
            or not (empty or first <= begin < last)
        ):
            raise AnyRefError(f"{tuple(one)} lies outside of the keys or the hidden states")
    if not np.isfinite(weight):
        raise AnyRefError(f"weight is {weight}: give a number")
    return floats(
        _native.refocus(
            (queries.tobytes(), queries.shape),
            (keys.tobytes(), keys.shape),
            (states.tobytes(), states.shape),
            [ObjectToken(*(int(number) for number in one)) for one in objects],
            hidden_offset,
            weight,
            device,
        )
    )


def _array(values: Any, dimensions: int, name: str) -> NDArray[np.float32]:
    array = np.asarray(values)
    if array.ndim != dimensions or not np.issubdtype(array.dtype, np.floating):
        raise AnyRefError(f"{name} is an array of {dimensions} dimensions and floats")
    return array.astype(np.float32)
