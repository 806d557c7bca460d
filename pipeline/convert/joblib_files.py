"""Files of joblib, read without joblib and running no code.

They are pickles in which each array is a small object whose bytes stand right behind it, outside
of the pickle's own instructions.
"""

import pickle
from pathlib import Path

import numpy as np

from pipeline.body.pickles import RestrictedUnpickler, StandIn, damaged, inner, plain
from pipeline.errors import InputError

PICKLE = b"\x80"  # what a pickle of protocol 2 or later begins with


class _Wrapper(StandIn):
    """`NumpyArrayWrapper`: shape and type of the array that follows."""


_ALLOWED = {
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _Wrapper,
    ("numpy", "memmap"): StandIn,
}


class _Unpickler(RestrictedUnpickler):
    """Takes each array's bytes from the stream as soon as its wrapper is complete."""

    dispatch = dict(pickle._Unpickler.dispatch)

    def _build(self) -> None:
        super().load_build()
        if isinstance(self.stack[-1], _Wrapper):
            self.stack.append(self._array(self.stack.pop().state))

    dispatch[pickle.BUILD[0]] = _build

    def _array(self, state: dict) -> np.ndarray:
        dtype, shape, order = state["dtype"].dtype(), tuple(state["shape"]), state["order"]
        if dtype.hasobject:
            return inner(RestrictedUnpickler(self.stream).load())
        if state.get("numpy_array_alignment_bytes") is not None:
            self.stream.read(self.stream.read(1)[0])  # padding, and before it how much
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        content = self.stream.read(size) if size >= 0 else b""
        if min(shape, default=0) < 0 or len(content) != size:
            raise ValueError(f"{len(content)} bytes of an array {shape}")
        return np.frombuffer(content, dtype).reshape(shape, order=order).copy()


def read_joblib(path: Path) -> dict[str, object]:
    """Return the dictionary of a file that `joblib.dump` wrote without compression.

    Raises:
        InputError: if the file is missing, damaged or packed, or holds anything but plain
            containers, texts, numbers and arrays.
    """
    try:
        data = Path(path).read_bytes()
        if not data.startswith(PICKLE):
            saw = f"bytes {data[:4]!r} at its beginning"
            raise InputError(path, "", saw, "a file of joblib.dump, without compression")
        content = _Unpickler(data, _ALLOWED).load()
        if not isinstance(content, dict):
            raise InputError(path, "", f"a {type(content).__name__}", "a dictionary of arrays")
        return {str(key): plain(value) for key, value in content.items()}
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "a file of joblib.dump") from None
    except Exception as error:  # damaged bytes can end in any of them
        raise damaged(path, "", error) from error
