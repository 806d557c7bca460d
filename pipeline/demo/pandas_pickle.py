"""Pickles of data frames and of torch tensors as others' programs write them.

The demo does not depend on pandas: objects of classes that only share pandas' names are pickled,
with the states that pandas 1.1 gives its frames. pandas 1.5, 2.3 and 3.1 read them.
"""

import copyreg
import io
import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

PROTOCOL = 4
MAGIC = 0x1950A86A20F9469CFC6C  # of torch's files


def foreign(module: str, name: str) -> type:
    """Return a class that is pickled under another module's name."""
    return type(name, (), {"__module__": module, "__qualname__": name,
                           "__reduce_ex__": reduce})  # fmt: skip


def reduce(self: object, protocol: int) -> tuple:
    """Return how to make the object: by a function, or without one, then its state."""
    made_by = getattr(self, "made_by", None)
    return made_by or (copyreg.__newobj__, (type(self),), self.state)


FRAME = foreign("pandas.core.frame", "DataFrame")
MANAGER = foreign("pandas.core.internals.managers", "BlockManager")
INDEX = foreign("pandas.core.indexes.base", "Index")
RANGE = foreign("pandas.core.indexes.range", "RangeIndex")
NEW_INDEX = foreign("pandas.core.indexes.base", "_new_Index")


class ForeignPickler(pickle._Pickler):  # type: ignore[name-defined]
    """The interpreter's Python pickler, which does not look others' classes up."""

    def save_global(self, obj: object, name: str | None = None) -> None:
        """Write the name of a class or function."""
        if getattr(obj, "__module__", "").startswith(("pandas.", "joblib.")):
            self.write(pickle.GLOBAL + f"{obj.__module__}\n{obj.__qualname__}\n".encode())
            self.memoize(obj)
        else:
            super().save_global(obj, name)


def write_frame(path: Path, columns: dict[str, list]) -> None:
    """Write a data frame.

    Args:
        path: the file.
        columns: cells by column, all of one length; lists of floats become a block of floats,
            everything else one of objects.
    """
    rows = len(next(iter(columns.values())))
    names = list(columns)
    floats = [k for k, name in enumerate(names) if isinstance(columns[name][0], float)]
    objects = [k for k in range(len(names)) if k not in floats]
    blocks = []
    for places, dtype in ((floats, np.float64), (objects, object)):
        if not places:
            continue
        values = np.empty((len(places), rows), dtype)
        for row, place in enumerate(places):
            for column, cell in enumerate(columns[names[place]]):
                values[row, column] = cell
        blocks.append({"values": values, "mgr_locs": np.array(places)})
    axes = [
        _index(INDEX, {"data": np.array(names, object), "name": None}),
        _index(RANGE, {"name": None, "start": 0, "stop": rows, "step": 1}),
    ]
    manager = MANAGER()
    values = [block["values"] for block in blocks]
    manager.state = (axes, values, [], {"0.14.1": {"axes": axes, "blocks": blocks}})
    frame = FRAME()
    frame.state = {"_mgr": manager, "_typ": "dataframe", "_metadata": [], "attrs": {}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_bytes(frame))


def _index(kind: type, content: dict) -> object:
    index = kind()
    index.made_by = (NEW_INDEX, (kind, content))
    return index


class _Made:
    """Something that is pickled as a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.made_by = (function, arguments)

    __reduce_ex__ = reduce


def write_tensors(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a plain pickle of torch tensors of a GPU, as `pickle.dump` does.

    torch itself would name each storage by its address, other bytes in every run.
    """
    tensors = {}
    for key, array in arrays.items():
        array = np.ascontiguousarray(array, np.float32)
        strides = tuple(step // array.itemsize for step in array.strides)
        storage = _Made(torch.storage._load_from_bytes, _storage_bytes(array))
        tensors[key] = _Made(torch._utils._rebuild_tensor_v2, storage, 0, array.shape, strides,
                             False, OrderedDict())  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(tensors, protocol=PROTOCOL))


def _storage_bytes(array: np.ndarray) -> bytes:
    """Return a storage as `torch.save` of before 1.6 writes it."""
    buffer, held = io.BytesIO(), object()

    class Pickler(pickle._Pickler):  # type: ignore[name-defined]
        def persistent_id(self, obj: object) -> tuple | None:
            known = ("storage", torch.FloatStorage, "0", "cuda:0", array.size, None)
            return known if obj is held else None

    system = {"protocol_version": 1001, "little_endian": True,
              "type_sizes": {"short": 2, "int": 4, "long": 4}}  # fmt: skip
    for part in (MAGIC, 1001, system, held, ["0"]):
        Pickler(buffer, 2).dump(part)
    return buffer.getvalue() + struct.pack("<q", array.size) + array.tobytes()


def _bytes(content: object) -> bytes:
    buffer = io.BytesIO()
    ForeignPickler(buffer, PROTOCOL).dump(content)
    return buffer.getvalue()
