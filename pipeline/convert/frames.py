"""Pickled pandas data frames and pickled torch tensors, read without pandas and running no code.

pandas keeps the columns of one type in one block. Until 1.2 a frame's manager was pickled with
its blocks as a dictionary, since then by a function that makes each block; both are followed
here through inert stand-ins. Cells of the columns that are not asked for stay untouched bytes.
"""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from pipeline.body.pickles import RestrictedUnpickler, StandIn, damaged, inner, plain
from pipeline.errors import InputError

_LEGACY = "0.14.1"  # key of the blocks in managers before pandas 1.3
_TORCH_ZIP = b"PK\x03\x04"


class _Manager(StandIn):
    """`BlockManager`: blocks of columns, and the axes (columns, rows)."""

    blocks: Sequence = ()  # also of objects that pickle makes without __init__
    axes: Sequence = ()

    def __init__(self, blocks: Sequence = (), axes: Sequence = (), *rest: object) -> None:
        super().__init__()
        self.blocks, self.axes = blocks, axes

    def parts(self) -> tuple[list, list["_Block"]]:
        """Return the axes and the blocks, whichever way they were pickled."""
        if self.blocks:
            return list(self.axes), list(self.blocks)
        held = self.state[3][_LEGACY]
        return held["axes"], [_Block(b["values"], b["mgr_locs"]) for b in held["blocks"]]


class _Block:
    """Columns of one type: values (columns, rows) and which columns they are."""

    def __init__(self, values: object, places: object, ndim: int = 2) -> None:
        self.values, self.places = values, places

    def positions(self, count: int) -> list[int]:
        """Return the positions of the columns in a frame of `count` columns."""
        return np.arange(count)[inner(self.places)].tolist()


class _Frame(StandIn):
    """`DataFrame`."""

    def columns(self, wanted: Sequence[str] | None) -> dict[str, list]:
        """Return columns as lists of cells; those wanted, or all."""
        manager = self.state.get("_mgr", self.state.get("_data"))
        axes, blocks = manager.parts()
        names = [str(name) for name in axes[0].labels()]
        rows, found = len(axes[1].labels()), {}
        for block in blocks:
            places = block.positions(len(names))
            asked = [k for k, p in enumerate(places) if wanted is None or names[p] in wanted]
            if asked:
                values = inner(block.values)
                if values.shape != (len(places), rows):
                    raise ValueError(f"a block {values.shape} of {len(places)} x {rows} cells")
                found |= {names[places[k]]: [_cell(v) for v in values[k]] for k in asked}
        return found


class _Index(StandIn):
    """Labels of an axis."""

    def __init__(self, kind: object = None, content: dict | None = None) -> None:
        super().__init__()
        self.content = content or {}

    def labels(self) -> Sequence:
        """Return the labels in order."""
        if "data" in self.content:
            return inner(self.content["data"]).tolist()
        return range(*(int(self.content[key]) for key in ("start", "stop", "step")))


class _Tensor(StandIn):
    """A torch tensor: part of a storage."""

    def __init__(self, storage: torch.TypedStorage, offset: int, size: tuple, stride: tuple,
                 *rest: object) -> None:  # fmt: skip
        super().__init__()
        self.parts = storage, offset, size, stride

    def value(self) -> np.ndarray:
        """Return the tensor as an array, after a check that it lies inside its storage."""
        storage, offset, size, stride = self.parts
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # typed storages are what such files hold
            dtype, count, untyped = storage.dtype, len(storage), storage.untyped()
        reach = sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if min((offset, *size, *stride)) < 0 or offset + reach >= count:
            raise ValueError("a tensor beyond its storage")
        return torch.empty(0, dtype=dtype).set_(untyped, offset, size, stride).numpy().copy()


def _storage(content: bytes) -> torch.TypedStorage:
    """`torch.storage._load_from_bytes`, restricted to weights."""
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _parameter(tensor: _Tensor, *rest: object) -> _Tensor:
    return tensor


_PANDAS = {
    ("pandas.core.frame", "DataFrame"): _Frame,
    ("pandas.core.internals.managers", "BlockManager"): _Manager,
    ("pandas.core.indexes.base", "_new_Index"): _Index,
    ("pandas.core.indexes.base", "Index"): _Index,
    ("pandas.core.indexes.range", "RangeIndex"): _Index,
    ("pandas.core.indexes.numeric", "Int64Index"): _Index,
    ("pandas._libs.internals", "_unpickle_block"): _Block,
    ("builtins", "slice"): slice,
    ("__builtin__", "slice"): slice,
}
_TORCH = {
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch.storage", "_load_from_bytes"): _storage,
}


def read_frame(path: Path, columns: Sequence[str]) -> dict[str, list]:
    """Return columns of a pickled data frame, each a list with one cell a row.

    Args:
        path: the pickle, of any pandas up to 2.
        columns: those wanted.

    Raises:
        InputError: if the file is missing or damaged, holds anything but a frame of plain cells,
            or lacks a column.
    """
    frame = _load(path, _PANDAS)
    if not isinstance(frame, _Frame):
        raise InputError(path, "", f"a {type(frame).__name__}", "a pickled data frame")
    try:
        found = frame.columns(columns)
    except Exception as error:  # the states come from the file: any of them can be wrong
        raise damaged(path, "", error) from error
    for name in columns:
        if name not in found:
            raise InputError(path, name, f"only {', '.join(found) or 'others'}", "this column")
    return found


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a dictionary of torch tensors, pickled or saved by torch.

    Raises:
        InputError: if the file is missing or damaged, or holds anything else.
    """
    content = _load(path, _TORCH)
    if not isinstance(content, dict):
        raise InputError(path, "", f"a {type(content).__name__}", "a dictionary of tensors")
    try:
        return {str(key): np.asarray(_cell(value)) for key, value in content.items()}
    except Exception as error:  # the states come from the file: any of them can be wrong
        raise damaged(path, "", error) from error


def _load(path: Path, more: dict) -> object:
    try:
        data = Path(path).read_bytes()
        if data.startswith(_TORCH_ZIP):
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return RestrictedUnpickler(data, more).load()
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "a pickle") from None
    except Exception as error:  # damaged bytes can end in any of them
        raise damaged(path, "", error) from error


def _cell(value: object) -> object:
    """Return a cell with numpy's numbers as Python's."""
    value = plain(value)
    if isinstance(value, torch.Tensor):
        return value.detach().numpy()
    if isinstance(value, list):
        return [_cell(item) for item in value]
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    return value
