"""Compiling loops with numba, kept on disk between runs where the disk allows it."""

from collections.abc import Callable

from numba import njit


def compiled(function: Callable) -> Callable:
    """Return the function compiled, without the GIL.

    Numba refuses to decorate when neither the source's folder nor the user's cache folder can be
    written; such a machine compiles anew in each process.
    """
    try:
        return njit(function, cache=True, nogil=True)
    except RuntimeError:
        return njit(function, nogil=True)
