"""Reader of SMPL and MANO files that runs no code found inside them.

The files are Python 2 pickles, some with chumpy objects. Loading them the usual way executes
whatever they ask for and needs chumpy, which no longer installs. Here only arrays, sparse
matrices and chumpy's two containers are understood, the latter as inert stand-ins.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.lib import format as npy

from pipeline.errors import InputError

_ERRORS = (
    pickle.UnpicklingError, zipfile.BadZipFile, EOFError, AttributeError, ImportError,
    IndexError, KeyError, MemoryError, OverflowError, TypeError, ValueError, RecursionError,
)  # fmt: skip


class _StandIn:
    """Object of a class that is not imported: its state, nothing else."""

    def __init__(self, *args: object) -> None:
        self.state: dict = {}

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict):
            raise ValueError(f"state of {type(self).__name__} is a {type(state).__name__}")
        self.state = state


class _Chumpy(_StandIn):
    """`chumpy.ch.Ch`: an array."""

    def array(self) -> np.ndarray:
        return _dense(self.state["x"])


class _ChumpySelect(_StandIn):
    """`chumpy.reordering.Select`: elements picked from another array."""

    def array(self) -> np.ndarray:
        picked = _dense(self.state["a"]).ravel()[_dense(self.state["idxs"]).astype(np.int64)]
        return picked.reshape(_dense(self.state["preferred_shape"]).astype(np.int64))


class _Compressed(_StandIn):
    """`scipy.sparse.csc_matrix` or `csr_matrix`, checked before any compiled code walks it."""

    kind: type = sp.csc_matrix

    def matrix(self) -> sp.spmatrix:
        arrays = tuple(self.state[key] for key in ("data", "indices", "indptr"))
        matrix = self.kind(arrays, shape=self.state["_shape"])
        matrix.check_format(full_check=True)
        return matrix


class _CompressedRows(_Compressed):
    kind = sp.csr_matrix


class _Coordinates(_StandIn):
    """`scipy.sparse.coo_matrix`."""

    def matrix(self) -> sp.spmatrix:
        state = self.state
        where = state["coords"] if "coords" in state else (state["row"], state["col"])
        return sp.coo_matrix((state["data"], tuple(where)), shape=state["_shape"])


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """`_codecs.encode` as numpy's own pickles use it."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"refused the text encoding {encoding!r}")
    return text.encode(encoding)


def _reconstructor(kind: type, base: type, state: object) -> object:
    """`copyreg._reconstructor`, with which pickles below protocol 2 build objects."""
    if not (isinstance(kind, type) and issubclass(kind, _StandIn)) or base is not object:
        raise pickle.UnpicklingError(f"refused to rebuild {kind!r}")
    return kind()


_SPARSE = {"csc": _Compressed, "csr": _CompressedRows, "coo": _Coordinates}
_ALLOWED: dict[tuple[str, str], object] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
    ("copy_reg", "_reconstructor"): _reconstructor,
    ("copyreg", "_reconstructor"): _reconstructor,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
    ("collections", "OrderedDict"): OrderedDict,
    ("chumpy.ch", "Ch"): _Chumpy,
    ("chumpy.reordering", "Select"): _ChumpySelect,
    **{
        (module, f"{kind}_{suffix}"): stand_in
        for kind, stand_in in _SPARSE.items()
        for suffix in ("matrix", "array")
        for module in ("scipy.sparse", f"scipy.sparse.{kind}", f"scipy.sparse._{kind}")
    },
    **{
        (f"numpy.{core}.multiarray", name): getattr(np._core.multiarray, name)
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    },
    **{
        (f"numpy.{core}.numeric", "_frombuffer"): np._core.numeric._frombuffer
        for core in ("core", "_core")
    },
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"refused {module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: object) -> object:
        raise pickle.UnpicklingError(f"refused the outside object {pid!r}")


def read_body_file(path: Path | str) -> dict[str, np.ndarray]:
    """Return the arrays of an SMPL or MANO file, sparse matrices made dense.

    Args:
        path: `.pkl` (any pickle protocol, Python 2 or 3) or `.npz`.

    Raises:
        InputError: if the file is missing, damaged, or holds anything but arrays.
    """
    path = Path(path)
    content = read_npz(path) if path.suffix == ".npz" else read_pickle(path)
    return {str(key): _entry(path, str(key), value) for key, value in content.items()}


def read_pickle(path: Path | str) -> dict[str, object]:
    """Return the dictionary in a pickle of plain containers, texts, numbers and arrays.

    Raises:
        InputError: if the file is missing, damaged, or asks for any other class.
    """
    try:
        with open(path, "rb") as file:
            content = _Unpickler(file, encoding="latin1").load()
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "a pickle of arrays") from None
    except _ERRORS as error:
        raise _damaged(path, "", error) from error
    if not isinstance(content, dict):
        raise InputError(path, "", f"a {type(content).__name__}", "a dictionary of arrays")
    return content


def read_npz(path: Path | str, keys: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
    """Return arrays of an `.npz` file; object arrays hold arrays and scipy sparse matrices.

    Args:
        path: the file.
        keys: entries to read, all others stay untouched (`mesh_downsampling.npz` has one that
            asks for a class of its author's script); all entries by default.

    Raises:
        InputError: if the file or an entry is missing or damaged, or asks for other classes.
    """
    arrays, key = {}, ""
    try:
        with zipfile.ZipFile(path) as archive:
            held = [name.removesuffix(".npy") for name in archive.namelist()]
            for key in held if keys is None else keys:
                if key not in held:
                    raise InputError(path, key, f"only {', '.join(held)}", "this entry")
                arrays[key] = _read_npy(archive.read(f"{key}.npy"))
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "an .npz file") from None
    except _ERRORS as error:
        raise _damaged(path, key, error) from error
    return arrays


def _read_npy(content: bytes) -> np.ndarray:
    file = io.BytesIO(content)
    version = npy.read_magic(file)
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = header(file)
    if not dtype.hasobject:
        file.seek(0)
        return npy.read_array(file, allow_pickle=False)
    loaded = _Unpickler(file, encoding="latin1").load()
    array = np.empty(loaded.shape, dtype=object)
    for where in np.ndindex(*shape):
        item = loaded[where]
        array[where] = item.matrix() if hasattr(item, "matrix") else item
    return array


def _entry(path: Path, key: str, value: object) -> np.ndarray:
    try:
        return _dense(value)
    except _ERRORS as error:
        raise _damaged(path, key, error) from error


def _dense(value: object) -> np.ndarray:
    if isinstance(value, _StandIn):
        return value.matrix().toarray() if hasattr(value, "matrix") else value.array()
    if isinstance(value, np.ndarray) and value.dtype == object and value.shape == ():
        return _dense(value[()])
    if sp.issparse(value):
        return value.toarray()
    return np.asarray(value)


def _damaged(path: Path | str, key: str, error: Exception) -> InputError:
    reason = str(error) or type(error).__name__
    if reason.startswith("refused"):
        return InputError(path, key, reason.removeprefix("refused "), "arrays and nothing else")
    return InputError(path, key, f"damaged content ({reason})", "a whole file as its owner ships")
