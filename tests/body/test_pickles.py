"""The restricted reader: official-looking files load, anything else is refused and not run."""

import os
import pickle
import sys
import types

import numpy as np
import pytest
import scipy.sparse as sp

from pipeline.body.pickles import read_body_file, read_npz, read_pickle
from pipeline.errors import InputError


@pytest.fixture
def chumpy(monkeypatch):
    """A module that pickles as chumpy does and is gone before anything is read."""

    class Ch:
        def __init__(self, x):
            self.x = x

    class Select:
        def __init__(self, a, idxs, preferred_shape):
            self.a, self.idxs, self.preferred_shape = a, idxs, preferred_shape

    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    for module, kind in (("chumpy.ch", Ch), ("chumpy.reordering", Select)):
        kind.__module__, kind.__qualname__ = module, kind.__name__
        holder = types.ModuleType(module)
        setattr(holder, kind.__name__, kind)
        monkeypatch.setitem(sys.modules, module, holder)
    return types.SimpleNamespace(Ch=Ch, Select=Select)


def python2_pickle(content):
    """Pickle as the official files are: protocol 2, module paths of old numpy and scipy."""
    data = pickle.dumps(content, protocol=2)
    for new, old in (
        (b"numpy._core.", b"numpy.core."),
        (b"scipy.sparse._csc", b"scipy.sparse.csc"),
        (b"copyreg", b"copy_reg"),
    ):
        data = data.replace(new, old)
    return data


def write(path, data):
    path.write_bytes(data)
    return path


def test_reads_arrays_sparse_matrices_and_chumpy(tmp_path, chumpy, monkeypatch):
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(4, 6)) * (rng.random((4, 6)) > 0.5)
    content = {
        "v_template": chumpy.Ch(rng.normal(size=(6, 3))),
        "shapedirs": chumpy.Select(chumpy.Ch(np.arange(24.0)), np.arange(12)[::-1], (2, 3, 2)),
        "J_regressor": sp.csc_matrix(dense),
        "by_rows": sp.csr_matrix(dense),
        "triplets": sp.coo_matrix(dense),
        "kintree_table": np.array([[2**32 - 1, 0]], dtype=np.uint32),
        "big_endian": np.arange(3, dtype=">f4"),
        "fortran": np.asfortranarray(dense),
        "number": np.float64(0.25),
        "bs_type": "lrotmin",
    }
    path = write(tmp_path / "SMPL_NEUTRAL.pkl", python2_pickle(content))
    v_template = content["v_template"].x
    for module in ("chumpy", "chumpy.ch", "chumpy.reordering"):
        monkeypatch.delitem(sys.modules, module)
    read = read_body_file(path)
    assert all(isinstance(value, np.ndarray) for value in read.values())
    np.testing.assert_array_equal(read["v_template"], v_template)
    np.testing.assert_array_equal(read["shapedirs"].ravel(), np.arange(12.0)[::-1])
    for key in ("J_regressor", "by_rows", "triplets", "fortran"):
        np.testing.assert_array_equal(read[key], dense)
    assert read["kintree_table"].tolist() == [[2**32 - 1, 0]]
    assert read["big_endian"].tolist() == [0, 1, 2]
    assert read["number"] == 0.25
    assert str(read["bs_type"]) == "lrotmin"


def test_reads_lists_of_arrays(tmp_path):
    content = {
        "poses": [np.arange(6.0).reshape(2, 3), np.zeros((1, 3))],
        "genders": ["m", "f"],
        "sequence": "downtown",
        "cam_intrinsics": np.eye(3),
    }
    read = read_pickle(write(tmp_path / "sequence.pkl", python2_pickle(content)))
    for seen, array in zip(read["poses"], content["poses"], strict=True):
        np.testing.assert_array_equal(seen, array)
        assert seen.flags.writeable
    assert read["genders"] == ["m", "f"]
    assert read["sequence"] == "downtown"
    hidden = python2_pickle({"poses": [Runs(os.system, "true")]})
    with pytest.raises(InputError, match="saw posix.system"):
        read_pickle(write(tmp_path / "sequence.pkl", hidden))


@pytest.mark.parametrize("protocol", range(6))
def test_reads_every_pickle_protocol(tmp_path, protocol):
    content = {"a": np.arange(6.0).reshape(2, 3), "J": sp.csc_matrix(np.eye(3))}
    path = write(tmp_path / "model.pkl", pickle.dumps(content, protocol=protocol))
    read = read_body_file(path)
    np.testing.assert_array_equal(read["a"], content["a"])
    np.testing.assert_array_equal(read["J"], np.eye(3))


class Runs:
    """Pickles into a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", (0, 2, 4))
def test_runs_nothing(tmp_path, protocol):
    witness = tmp_path / "witness"
    for call in (Runs(os.system, f"touch {witness}"), Runs(eval, f"open({str(witness)!r}, 'w')")):
        data = pickle.dumps({"v_template": call}, protocol=protocol)
        with pytest.raises(InputError, match="saw (posix|builtins|__builtin__)\\.(system|eval)"):
            read_body_file(write(tmp_path / "model.pkl", data))
    assert not witness.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cnumpy.testing\nrundocs\n.",
        b"cbuiltins\ngetattr\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.",
        b"Pelsewhere\n.",
        pickle.dumps(Runs(np.dtype, [("a", "O")]), protocol=2),
        pickle.dumps({"text": Runs(__import__("codecs").encode, "x", "rot13")}, protocol=2),
    ],
)
def test_refuses_other_classes(tmp_path, data):
    with pytest.raises(InputError):
        read_body_file(write(tmp_path / "model.pkl", data))


def test_checks_sparse_indices_before_using_them(tmp_path):
    matrix = sp.csc_matrix(np.eye(4))
    matrix.indices[2] = 10_000_000
    path = write(tmp_path / "model.pkl", python2_pickle({"J_regressor": matrix}))
    with pytest.raises(InputError, match="J_regressor: saw damaged content"):
        read_body_file(path)


def test_refuses_matrices_that_would_fill_the_memory(tmp_path):
    matrix = sp.coo_matrix(([1.0], ([0], [0])), shape=(2**30, 2**30))
    path = write(tmp_path / "model.pkl", python2_pickle({"J_regressor": matrix}))
    with pytest.raises(InputError, match="1073741824 x 1073741824"):
        read_body_file(path)


def test_damaged_bytes_end_in_one_clear_error(tmp_path):
    content = {"v_template": np.arange(30.0), "J_regressor": sp.csc_matrix(np.eye(5))}
    whole = python2_pickle(content)
    path = tmp_path / "model.pkl"
    for length in range(0, len(whole), 7):
        with pytest.raises(InputError, match=f"{path}: "):
            read_body_file(write(path, whole[:length]))
    rng = np.random.default_rng(0)
    for _ in range(500):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), rng.integers(1, 4)):
            damaged[at] = rng.integers(0, 256)
        try:
            read_body_file(write(path, bytes(damaged)))  # a changed number may well be read
        except InputError:
            continue


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_body_file(tmp_path / "SMPL_MALE.pkl")
    with pytest.raises(InputError, match="a list"):
        read_body_file(write(tmp_path / "list.pkl", pickle.dumps([1])))
    with pytest.raises(InputError, match="damaged"):
        read_npz(write(tmp_path / "empty.npz", b""))


def objects(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def test_npz_with_matrices_and_an_entry_that_cannot_be_loaded(tmp_path):
    matrices = [sp.csc_matrix(np.eye(4)[:2]), sp.coo_matrix(np.eye(3))]
    meshes = objects([Runs(os.system, "true")])
    faces = objects([np.arange(6).reshape(2, 3), np.arange(3)])
    path = tmp_path / "mesh_downsampling.npz"
    np.savez(path, D=objects(matrices), F=faces, M=meshes, plain=np.arange(4))
    read = read_npz(path, ("D", "F", "plain"))
    for seen, matrix in zip(read["D"], matrices, strict=True):
        np.testing.assert_array_equal(seen.toarray(), matrix.toarray())
    assert read["F"][0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read["plain"].tolist() == [0, 1, 2, 3]
    with pytest.raises(InputError, match="M: saw posix.system"):
        read_npz(path)
    with pytest.raises(InputError, match="U: saw only D, F, M, plain"):
        read_npz(path, ("U",))


def test_truncated_npz(tmp_path):
    path = tmp_path / "whole.npz"
    np.savez_compressed(path, D=objects([sp.csc_matrix(np.eye(9))]), plain=np.arange(100.0))
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        with pytest.raises(InputError):
            read_npz(write(tmp_path / "part.npz", whole[:length]))
