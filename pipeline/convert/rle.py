"""COCO's compressed run lengths, checked before anything is allocated for them."""

from collections.abc import Mapping

import numpy as np

from pipeline.convert.common import take
from pipeline.errors import InputError


def decode_rle(mask: Mapping, size: tuple[int, int], where: object) -> np.ndarray:
    """Return a mask.

    Runs of 0 and 1 in turn go down the columns. Each count is written as digits of five bits,
    lowest first, 32 marking that more follow and the last one's 16 a negative number, all
    shifted by 48; from the fourth on, counts are differences to the last but one.

    Args:
        mask: {"size": [height, width], "counts": text}.
        size: the height and width that it must have.
        where: for errors.

    Returns:
        (height, width) bool.

    Raises:
        InputError: if the size is another one, or the runs do not fill the image.
    """
    counts = take(mask, "counts", where)
    if list(take(mask, "size", where)) != list(size):
        raise InputError(where, "size", mask["size"], list(size))
    try:
        digits = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - 48
    except (AttributeError, UnicodeEncodeError):
        raise InputError(where, "counts", type(counts).__name__, "run lengths as text") from None
    runs = _runs(digits)
    if runs is None or (runs < 0).any() or runs.sum() != size[0] * size[1]:
        raise InputError(where, "counts", "damaged run lengths", f"{size[0] * size[1]} pixels")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(size[1], size[0]).T


def _runs(digits: np.ndarray) -> np.ndarray | None:
    """Return the run lengths of digits 0..63, None where they are not well formed."""
    if not len(digits) or digits.min() < 0 or digits.max() > 63 or digits[-1] & 32:
        return None
    ends = np.flatnonzero((digits & 32) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).max() > 5:  # 30 bits
        return None
    place = np.arange(len(digits)) - np.repeat(starts, ends - starts + 1)
    values = np.add.reduceat((digits & 31) << (5 * place), starts)
    values -= np.where(digits[ends] & 16, 1 << (5 * (ends - starts + 1)), 0)
    for first in (1, 2):  # the first count stands alone, then two chains of differences
        values[first::2] = np.cumsum(values[first::2])
    return values
