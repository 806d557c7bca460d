"""Demo MPI-INF-3DHP, MuPoTS-3D and MuCo-3DHP: equal bytes, official names."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from pipeline.demo.generate import generate, manifest
from tests.body_asset import body_asset

SHARED = {"seed": 1, "heading_deg": 75}
SETTINGS = {
    "mpi_inf_3dhp": {"image_size": 96, "camera_arc_deg": 40, "subjects": [3], "sequences": [2],
                     "cameras": [4], "train_frames": 3, "test_sequences": [6], "test_frames": 4},
    "mupots": {"image_size": 96, "sequences": [2, 7], "frames": 1},
    "muco": {"image_size": 96, "images": 2},
}  # fmt: skip
FILES = {
    "mpi_inf_3dhp": {
        "MPI-INF-3DHP_SMPL_NeuralAnnot.json", "S3/Seq2/annot.mat", "S3/Seq2/camera.calibration",
        "S3/Seq2/imageSequence/video_4.avi", "mpi_inf_3dhp_test_set/TS6/annot_data.mat",
        *(f"mpi_inf_3dhp_test_set/TS6/imageSequence/img_{k:06d}.jpg" for k in (1, 2, 3, 4)),
    },
    "mupots": {"MuPoTS-3D.json", *(
        f"MultiPersonTestSet/TS{n}/{file}" for n in (2, 7)
        for file in ("annot.mat", "occlusion.mat", "img_000000.jpg")
    )},
    "muco": {"MuCo-3DHP.json", "smpl_param.json", "augmented_set/000000.jpg",
             "unaugmented_set/000000.jpg"},
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root, body = tmp_path_factory.mktemp("family"), body_asset(tmp_path_factory)
    for name, settings in SETTINGS.items():
        generate(name, body, settings | SHARED, root / name, 1)
    return {name: root / name for name in SETTINGS}


@pytest.mark.parametrize("name", SETTINGS)
def test_names_are_the_official_ones(made: dict[str, Path], name: str) -> None:
    assert set(manifest(name, made[name])["files"]) == FILES[name]


@pytest.mark.parametrize("name", SETTINGS)
def test_equal_settings_equal_bytes_whatever_the_workers(
    made: dict[str, Path], tmp_path: Path, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    body = body_asset(tmp_path_factory)
    generate(name, body, SETTINGS[name] | SHARED, tmp_path / name, 2)
    assert manifest(name, tmp_path / name) == manifest(name, made[name])


def test_training_annotations_have_the_official_arrays(made: dict[str, Path]) -> None:
    content = scipy.io.loadmat(made["mpi_inf_3dhp"] / "S3/Seq2/annot.mat")
    for key, columns in (("annot2", 56), ("annot3", 84), ("univ_annot3", 84)):
        assert content[key].shape == (14, 1) and content[key].dtype == object
        assert {cell.shape for cell in content[key][:, 0]} == {(3, columns)}
    assert content["cameras"].ravel().tolist() == list(range(14))


def test_test_annotations_are_hdf5_with_matlabs_axes_reversed(made: dict[str, Path]) -> None:
    path = made["mpi_inf_3dhp"] / "mpi_inf_3dhp_test_set/TS6/annot_data.mat"
    assert path.read_bytes()[:10] == b"MATLAB 7.3"
    with h5py.File(path) as file:
        shapes = {key: file[key].shape for key in file}
    assert shapes == {
        "activity_annotation": (4, 1), "annot2": (4, 1, 17, 2), "annot3": (4, 1, 17, 3),
        "bb_crop": (4, 34), "univ_annot3": (4, 1, 17, 3), "valid_frame": (4, 1),
    }  # fmt: skip


def test_mupots_annotations_are_cells_of_structs(made: dict[str, Path]) -> None:
    cells = scipy.io.loadmat(made["mupots"] / "MultiPersonTestSet/TS7/annot.mat")["annotations"]
    assert cells.shape == (1, 3)
    first = cells[0, 0]
    assert set(first.dtype.names) == {"annot2", "annot3", "univ_annot3", "isValidFrame"}
    assert first["annot2"].item().shape == (2, 17) and first["annot3"].item().shape == (3, 17)
    assert np.median(first["annot3"].item()[2]) > 2000  # millimetres
