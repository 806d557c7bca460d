"""The reader of files that PyTorch's safe mode refuses: same values, no code, no bombs."""

import io
import os
import pickle
import struct
import zipfile
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest
import torch

from pipeline.body.pickles import inner
from pipeline.errors import InputError
from pipeline.importing.torch_files import _restricted, read_torch_file

TENSORS = {
    "float": torch.arange(6.0).reshape(2, 3),
    "turned": torch.arange(6.0).reshape(2, 3).T,
    "half": torch.ones(3, dtype=torch.float16),
    "brain": torch.ones(3, dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "flags": torch.tensor([True, False]),
    "empty": torch.empty(0, 4),
    "slice": torch.arange(10.0)[3:7],
}


class Executes:
    """Runs a command when it is unpickled the usual way."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


class Imports:
    def __init__(self, module, name, *arguments):
        self.call = module, name, arguments

    def __reduce__(self):
        module, name, arguments = self.call
        return getattr(__import__(module, fromlist=[name]), name), arguments


@pytest.mark.parametrize("zipped", [True, False])
def test_values_are_those_of_pytorch(tmp_path, zipped):
    content = {"tensors": OrderedDict(TENSORS), "best": np.float64(2.5), "order": np.arange(4),
               "parameter": torch.nn.Parameter(torch.ones(2)), "size": torch.ones(2, 3).shape,
               "milestones": Counter([3, 5]), "state": defaultdict(dict, a=1)}  # fmt: skip
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    found, plain = read_torch_file(tmp_path / "a.pt")
    assert not plain
    for key, value in TENSORS.items():
        assert found["tensors"][key].dtype == value.dtype
        assert torch.equal(found["tensors"][key], value)
    assert inner(found["best"]) == 2.5 and inner(found["order"]).tolist() == [0, 1, 2, 3]
    assert torch.equal(found["parameter"], torch.ones(2)) and found["size"] == (2, 3)
    assert found["milestones"] == {3: 1, 5: 1} and found["state"] == {"a": 1}


def test_plain_files_are_read_by_pytorchs_safe_mode(tmp_path):
    torch.save(TENSORS, tmp_path / "a.pt")
    assert read_torch_file(tmp_path / "a.pt")[1]


@pytest.mark.parametrize("zipped", [True, False, None])
def test_commands_inside_are_refused_by_name_and_not_run(tmp_path, zipped):
    content = {"model": TENSORS, "extra": Executes(tmp_path / "ran")}
    if zipped is None:
        (tmp_path / "a.pt").write_bytes(pickle.dumps(content["extra"], protocol=2))
    else:
        torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"a\.pt: saw (posix|nt)\.system inside"):
        read_torch_file(tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "call",
    [("builtins", "eval", "1"), ("builtins", "getattr", {}, "x"), ("torch", "load", "x"),
     ("torch.hub", "load", "x", "y"), ("numpy", "load", "x"), ("io", "open", "x"),
     ("importlib", "import_module", "os"), ("torch.serialization", "load", "x")],
)  # fmt: skip
def test_nothing_but_the_listed_names(tmp_path, call):
    torch.save({"model": TENSORS, "extra": Imports(*call)}, tmp_path / "a.pt")
    with pytest.raises(InputError, match="inside"):
        read_torch_file(tmp_path / "a.pt")


def _storage_pickle(count: int, size: tuple, stride: tuple) -> bytes:
    """A tensor of a file of ours with made-up numbers; `numpy` makes the safe mode refuse it."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if isinstance(thing, torch.storage.TypedStorage):
                return "storage", torch.FloatStorage, "0", "cpu", count
            return None

    storage = torch.storage.TypedStorage(
        wrap_storage=torch.zeros(4).untyped_storage(), dtype=torch.float32, _internal=True
    )

    class View:
        def __reduce__(self):
            rebuild = torch._utils._rebuild_tensor_v2
            return rebuild, (storage, 0, size, stride, False, OrderedDict())

    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump({"x": View()})
    return stream.getvalue()


@pytest.mark.parametrize(
    "count, size, stride",
    [(4, (100,), (1,)), (4, (2,), (1000,)), (10**12, (4,), (1,)), (-4, (4,), (1,)),
     (4, (-4,), (1,))],
)  # fmt: skip
def test_sizes_that_do_not_fit_the_file(tmp_path, count, size, stride):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", _storage_pickle(count, size, stride))
        archive.writestr("a/data/0", struct.pack("<4f", 1, 2, 3, 4))
    with pytest.raises(InputError, match="damaged"):
        _restricted(tmp_path / "a.pt")


def test_a_whole_file_by_hand(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", _storage_pickle(4, (2, 2), (2, 1)))
        archive.writestr("a/data/0", struct.pack("<4f", 1, 2, 3, 4))
    assert _restricted(tmp_path / "a.pt")["x"].tolist() == [[1, 2], [3, 4]]


def test_packed_values_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", _storage_pickle(4, (4,), (1,)))
        archive.writestr("a/data/0", struct.pack("<4f", 1, 2, 3, 4))
    with pytest.raises(InputError, match="compressed"):
        _restricted(tmp_path / "a.pt")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_cut_files(tmp_path, zipped, share):
    content = {"x": torch.ones(1000), "best": np.float64(1)}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match="a.pt"):
        read_torch_file(tmp_path / "a.pt")


def test_scripts_folders_and_missing_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("a/data.pkl", _storage_pickle(4, (4,), (1,)))
        archive.writestr("a/data/0", struct.pack("<4f", 1, 2, 3, 4))
        archive.writestr("a/constants.pkl", b"")  # what makes it TorchScript
    with pytest.raises(InputError, match="no file of torch.save"):
        _restricted(tmp_path / "script.pt")
    for path in (tmp_path / "script.pt", tmp_path, tmp_path / "none.pt"):
        with pytest.raises(InputError):
            read_torch_file(path)
