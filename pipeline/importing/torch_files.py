"""Reader of PyTorch files that runs no code found inside them.

PyTorch's own safe mode reads tensors and plain values. Published checkpoints hold a little more
(numbers and arrays of numpy: the best score, the order of the data), which it refuses. What it
refuses is read here: the same two formats, with an explicit list of what a file may name.
"""

import io
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from pipeline.body.pickles import RestrictedUnpickler, damaged
from pipeline.errors import InputError

_MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of a file from before PyTorch 1.6
_PROTOCOL = 1001
_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
Fetch = Callable[[str, torch.dtype, int], Tensor]  # key, type, number of values -> flat tensor


def _view(flat: Tensor, offset: int, size: tuple, stride: tuple, *_: object) -> Tensor:
    """`torch._utils._rebuild_tensor_v2`; positions outside of the storage are refused by torch."""
    if not isinstance(flat, Tensor):
        raise pickle.UnpicklingError("refused a tensor without values")
    return flat.as_strided(tuple(size), tuple(stride), offset)


def _parameter(data: Tensor, *_: object) -> Tensor:
    return data


def _size(values: tuple = ()) -> tuple:
    return tuple(values)


def _ordered(*arguments: object) -> OrderedDict:
    return OrderedDict(*arguments)


def _counts(*arguments: object) -> dict:
    return dict(*arguments)


def _default(*_: object) -> dict:
    return {}


# Beside what numpy's arrays and scalars name (`pickles.ALLOWED`); all of it inert.
_ALLOWED: dict[tuple[str, str], object] = {
    ("torch._utils", "_rebuild_tensor"): _view,
    ("torch._utils", "_rebuild_tensor_v2"): _view,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): _size,
    ("collections", "OrderedDict"): _ordered,
    ("collections", "Counter"): _counts,
    ("collections", "defaultdict"): _default,
    ("builtins", "dict"): dict,
    ("__builtin__", "dict"): dict,
    **{("torch", name): dtype for name, dtype in _STORAGES.items()},
}


class _TorchUnpickler(RestrictedUnpickler):
    """Takes the values of each tensor from `fetch`."""

    def __init__(self, stream: io.BytesIO, fetch: Fetch) -> None:
        super().__init__(stream, _ALLOWED)
        self._fetch = fetch

    def persistent_load(self, pid: object) -> Tensor:
        """Return the flat storage that a tensor looks at."""
        kind, dtype, key, _, count, *view = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or any(view):
            raise pickle.UnpicklingError(f"refused the outside object {pid!r}")
        return self._fetch(str(key), dtype, int(count))


def read_torch_file(path: Path | str) -> tuple[object, bool]:
    """Return the content of a `torch.save` file, and whether PyTorch's safe mode took it.

    Arrays and scalars of numpy come as stand-ins, `pipeline.body.pickles.inner` opens them.

    Raises:
        InputError: if the file is missing or damaged, or names anything that is not allowed.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True), True
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "a checkpoint") from None
    except IsADirectoryError:
        raise InputError(path, "", "a folder", "a checkpoint file") from None
    except pickle.UnpicklingError:
        return _restricted(Path(path)), False
    except Exception as error:  # damaged bytes can end in any of them
        raise damaged(path, "", error) from error


def _restricted(path: Path) -> object:
    try:
        return _read_zip(path) if zipfile.is_zipfile(path) else _read_legacy(path.read_bytes())
    except Exception as error:  # damaged bytes can end in any of them
        reason = str(error)
        if reason.startswith("refused"):
            saw = f"{reason.removeprefix('refused ')} inside"
            raise InputError(path, "", saw, "tensors, arrays and plain values only") from error
        raise damaged(path, "", error) from error


def _read_zip(path: Path) -> object:
    """Read the format since PyTorch 1.6: a pickle and one file per storage, not compressed."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        roots = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
        if len(roots) != 1 or f"{roots[0]}constants.pkl" in entries:  # the latter: TorchScript
            raise ValueError("no file of torch.save")
        (root,) = roots
        order = archive.read(f"{root}byteorder") if f"{root}byteorder" in entries else b"little"
        if order.decode() != sys.byteorder:
            raise ValueError(f"byte order {order.decode()}")
        storages: dict[str, Tensor] = {}

        def fetch(key: str, dtype: torch.dtype, count: int) -> Tensor:
            if key not in storages:
                entry = entries[f"{root}data/{key}"]
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise ValueError("compressed values")
                storages[key] = _flat(archive.read(entry), dtype, count)
            return storages[key]

        return _TorchUnpickler(io.BytesIO(archive.read(f"{root}data.pkl")), fetch).load()


def _read_legacy(content: bytes) -> object:
    """Read the older format: five pickles in a row, then the storages."""
    stream = io.BytesIO(content)
    storages: dict[str, Tensor] = {}
    room = len(content)

    def fetch(key: str, dtype: torch.dtype, count: int) -> Tensor:
        nonlocal room
        if key not in storages:
            room -= count * dtype.itemsize
            if count < 0 or room < 0:
                raise ValueError("more values than the file has room for")
            storages[key] = torch.empty(count, dtype=dtype)
        return storages[key]

    def load() -> object:
        return _TorchUnpickler(stream, fetch).load()

    first = load()
    if first != _MAGIC:  # a plain pickle: nothing but what is allowed was in it
        raise ValueError("a pickle, but no file of torch.save")
    if load() != _PROTOCOL or not load()["little_endian"]:
        raise ValueError("another protocol or byte order")
    result = load()
    _fill(stream, storages, load())
    return result


def _fill(stream: io.BytesIO, storages: Mapping[str, Tensor], keys: list) -> None:
    """Read the values behind the pickles into the storages."""
    if {str(key) for key in keys} != set(storages):
        raise ValueError("values without a tensor, or tensors without values")
    for key in keys:
        storage = storages[str(key)]
        count = int.from_bytes(stream.read(8), sys.byteorder)
        values = _flat(stream.read(len(storage) * storage.itemsize), storage.dtype, count)
        if count != len(storage):
            raise ValueError(f"{count} values for {len(storage)}")
        storage.copy_(values)


def _flat(content: bytes, dtype: torch.dtype, count: int) -> Tensor:
    if count < 0 or len(content) != count * dtype.itemsize:
        raise ValueError(f"{len(content)} bytes for {count} values")
    if not count:
        return torch.empty(0, dtype=dtype)
    return torch.frombuffer(bytearray(content), dtype=dtype)
