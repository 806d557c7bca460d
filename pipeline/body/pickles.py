"""Reader of SMPL and MANO files that runs no code found inside them.

The files are Python 2 pickles, some with chumpy objects. Loading them the usual way executes
whatever they ask for and needs chumpy, which no longer installs. Here every class that such a
file may name is replaced by an inert stand-in that only keeps its state; arrays are then built
from the states, with the usual checks, by `_dense`.
"""

import io
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.lib import format as npy

from pipeline.errors import InputError

_CODE = re.compile(r"[biufUSO?]\d*")  # booleans, numbers, text, objects: no records
_LARGEST = 2**27  # elements of a sparse matrix: dense, the largest shipped has 6,890 x 1,723


class StandIn:
    """Object of a class that is not imported: its state, nothing else."""

    def __init__(self, *args: object) -> None:
        self.state: dict | tuple = {}

    def __setstate__(self, state: dict | tuple) -> None:
        self.state = state

    def value(self) -> np.ndarray | sp.spmatrix:
        """Return what the object holds.

        Raises:
            ValueError: if it holds nothing by itself.
        """
        raise ValueError(f"a bare {type(self).__name__}")


class _Dtype(StandIn):
    """`numpy.dtype` of a plain type."""

    def __init__(self, code: str, *flags: object) -> None:
        code = code.decode("latin1") if isinstance(code, bytes) else code
        if not _CODE.fullmatch(code):
            raise pickle.UnpicklingError(f"refused the array type {code!r}")
        self.state = ()
        self.code = code

    def dtype(self) -> np.dtype:
        order = self.state[1] if self.state else "="
        return np.dtype(self.code).newbyteorder(order)


class _Array(StandIn):
    """`numpy.ndarray`."""

    def value(self) -> np.ndarray:
        _, shape, dtype, fortran, content = self.state
        order = "F" if fortran else "C"
        if isinstance(content, list):
            array = np.empty(len(content), dtype=object)
            for place, item in enumerate(content):  # at once, lists of one length would be axes
                array[place] = inner(item)
            return array.reshape(shape, order=order)
        return _from_bytes(content, dtype, shape, order)


class _Compressed(StandIn):
    """`scipy.sparse.csc_matrix` or `csr_matrix`, checked before any compiled code walks it."""

    kind: type = sp.csc_matrix

    def value(self) -> sp.spmatrix:
        arrays = tuple(_dense(self.state[key]) for key in ("data", "indices", "indptr"))
        matrix = self.kind(arrays, shape=_shape(self.state))
        matrix.check_format(full_check=True)
        return matrix


class _CompressedRows(_Compressed):
    kind = sp.csr_matrix


class _Coordinates(StandIn):
    """`scipy.sparse.coo_matrix`."""

    def value(self) -> sp.spmatrix:
        state = self.state
        where = state["coords"] if "coords" in state else (state["row"], state["col"])
        where = tuple(_dense(axis) for axis in where)
        return sp.coo_matrix((_dense(state["data"]), where), shape=_shape(state))


class _Chumpy(StandIn):
    """`chumpy.ch.Ch`: an array."""

    def value(self) -> np.ndarray:
        return _dense(self.state["x"])


class _ChumpySelect(StandIn):
    """`chumpy.reordering.Select`: elements picked from another array."""

    def value(self) -> np.ndarray:
        picked = _dense(self.state["a"]).ravel()[_dense(self.state["idxs"]).astype(np.int64)]
        return picked.reshape(_dense(self.state["preferred_shape"]).astype(np.int64))


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """`_codecs.encode` as numpy's own pickles use it."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"refused the text encoding {encoding!r}")
    return text.encode(encoding)


def _reconstruct(kind: type, *args: object) -> StandIn:
    """`copyreg._reconstructor` and numpy's `_reconstruct`: an object without its state."""
    if not (isinstance(kind, type) and issubclass(kind, StandIn)):
        raise pickle.UnpicklingError(f"refused to rebuild {kind!r}")
    return kind()


def _from_bytes(content: bytes | str, dtype: _Dtype, shape: tuple, order: str) -> np.ndarray:
    content = content.encode("latin1") if isinstance(content, str) else content
    return np.frombuffer(content, dtype.dtype()).reshape(shape, order=order).copy(order="K")


def _scalar(dtype: _Dtype, content: bytes | str) -> np.ndarray:
    return _from_bytes(content, dtype, (), "C")


_SPARSE = {"csc": _Compressed, "csr": _CompressedRows, "coo": _Coordinates}
ALLOWED: dict[tuple[str, str], object] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    ("copy_reg", "_reconstructor"): _reconstruct,
    ("copyreg", "_reconstructor"): _reconstruct,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
    ("collections", "OrderedDict"): OrderedDict,
    ("chumpy.ch", "Ch"): _Chumpy,
    ("chumpy.reordering", "Select"): _ChumpySelect,
}
for _core in ("core", "_core"):
    ALLOWED[f"numpy.{_core}.multiarray", "_reconstruct"] = _reconstruct
    ALLOWED[f"numpy.{_core}.multiarray", "scalar"] = _scalar
    ALLOWED[f"numpy.{_core}.numeric", "_frombuffer"] = _from_bytes
for _kind, _stand_in in _SPARSE.items():
    for _module in ("scipy.sparse", f"scipy.sparse.{_kind}", f"scipy.sparse._{_kind}"):
        for _suffix in ("matrix", "array"):
            ALLOWED[_module, f"{_kind}_{_suffix}"] = _stand_in


class RestrictedUnpickler(pickle._Unpickler):  # type: ignore[name-defined]
    """The interpreter's Python unpickler: damaged numbers cannot make it allocate at will.

    Args:
        content: the pickle, or a stream in memory that it begins in.
        more: stand-ins by module and name, besides ALLOWED.
    """

    def __init__(
        self, content: bytes | io.BytesIO, more: Mapping[tuple[str, str], object] | None = None
    ) -> None:
        self.stream = io.BytesIO(content) if isinstance(content, bytes) else content
        super().__init__(self.stream, encoding="latin1")
        self._allowed = ALLOWED | dict(more or {})

    def find_class(self, module: str, name: str) -> object:
        """Return the stand-in of a class or function; refuse all others."""
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"refused {module}.{name}")
        return self._allowed[module, name]

    def persistent_load(self, pid: object) -> object:
        """Refuse an object that is not in the file."""
        raise pickle.UnpicklingError(f"refused the outside object {pid!r}")


def read_body_file(path: Path | str) -> dict[str, np.ndarray]:
    """Return the arrays of an SMPL or MANO file, sparse matrices made dense.

    Args:
        path: `.pkl` (any pickle protocol, Python 2 or 3) or `.npz`.

    Raises:
        InputError: if the file is missing, damaged, or holds anything but arrays.
    """
    path = Path(path)
    content = read_npz(path) if path.suffix == ".npz" else _load(path)
    return {str(key): _entry(path, str(key), value) for key, value in content.items()}


def read_pickle(path: Path | str) -> dict[str, object]:
    """Return the dictionary of a pickle; arrays may also stand inside its lists.

    Raises:
        InputError: if the file is missing, damaged, or holds anything but plain containers,
            texts, numbers and arrays.
    """
    content = _load(Path(path))
    try:
        return {str(key): plain(value) for key, value in content.items()}
    except Exception as error:  # the states come from the file: any of them can be wrong
        raise damaged(path, "", error) from error


def _load(path: Path) -> dict:
    try:
        content = RestrictedUnpickler(path.read_bytes()).load()
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "a pickle of arrays") from None
    except Exception as error:  # damaged bytes can end in any of them
        raise damaged(path, "", error) from error
    if not isinstance(content, dict):
        raise InputError(path, "", f"a {type(content).__name__}", "a dictionary of arrays")
    return content


def plain(value: object) -> object:
    """Return a value with the arrays that its stand-ins stand for, lists gone through."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return inner(value)


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
    except InputError:
        raise
    except Exception as error:  # damaged bytes can end in any of them
        raise damaged(path, key, error) from error
    return arrays


def _read_npy(content: bytes) -> np.ndarray:
    file = io.BytesIO(content)
    version = npy.read_magic(file)
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = header(file)
    if not dtype.hasobject:
        file.seek(0)
        return npy.read_array(file, allow_pickle=False)
    return RestrictedUnpickler(file.read()).load().value().reshape(shape)


def _entry(path: Path, key: str, value: object) -> np.ndarray:
    try:
        return _dense(value)
    except Exception as error:  # the states come from the file: any of them can be wrong
        raise damaged(path, key, error) from error


def inner(value: object) -> object:
    """Return what a stand-in stands for; any other value as it is."""
    return value.value() if isinstance(value, StandIn) else value


def _dense(value: object) -> np.ndarray:
    value = inner(value)
    if isinstance(value, np.ndarray) and value.dtype == object and value.shape == ():
        return _dense(value[()])
    return value.toarray() if sp.issparse(value) else np.asarray(value)


def _shape(state: dict) -> tuple[int, int]:
    rows, columns = (int(size) for size in state["_shape"])
    if rows * columns > _LARGEST:
        raise ValueError(f"a matrix of {rows} x {columns}")
    return rows, columns


def damaged(path: Path | str, key: str, error: Exception) -> InputError:
    """Return the error that a failure of reading ends in."""
    reason = str(error) or type(error).__name__
    if reason.startswith("refused"):
        return InputError(path, key, reason.removeprefix("refused "), "arrays and nothing else")
    return InputError(path, key, f"damaged content ({reason})", "a whole file as its owner ships")
