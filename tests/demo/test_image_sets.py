"""Demo sets of single images: LSP, LSP Extended, MPII, UP-3D and SPIN's files."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.files import read_json

SECTION = {
    "seed": 4,
    "heading_deg": 75,
    "lsp": {"image_size": 64, "images": 1},
    "lspet": {"image_size": 64, "images": 2},
    "mpii": {"image_size": 64, "train_images": 3, "test_images": 1},
    "up3d": {"image_size": 64, "train_images": 1, "val_images": 1, "test_images": 1},
    "spin": {"image_size": 64, "coco_images": 2, "h36m_images": 1},
}
FILES = {
    "lsp": {
        "lsp_dataset_original/joints.mat", "lsp_dataset/joints.mat",
        *(f"{folder}/images/im000{k}.jpg" for folder in ("lsp_dataset_original", "lsp_dataset")
          for k in (1, 2)),
        "upi-s1h/data/lsp/im0002_segmentation.png",
        "upi-s1h/data/lsp/im0002_part_segmentation.png",
    },
    "lspet": {"hr-lspet/joints.mat", "hr-lspet/im00001.png", "hr-lspet/im00003.png",
              "eft_fit/LSPet_ver01.json"},
    "mpii": {
        *(f"images/{1163 + 15 * k:09d}.jpg" for k in range(4)), "train.h5",
        "mpii_human_pose_v1_u12_2/mpii_human_pose_v1_u12_1.mat", "annotations/train.json",
        "annotations/MPII_train_SMPL_NeuralAnnot.json", "eft_fit/MPII_ver01.json",
    },
    "up3d": {
        *(f"{k:05d}_{what}" for k in (20, 27, 34) for what in (
            "image.png", "body.pkl", "joints.npy", "render_light.png", "fit_crop_info.txt",
            "dataset_info.txt")),
        "train.txt", "val.txt", "trainval.txt", "test.txt",
    },
    "spin": {
        "images/coco/000000.jpg", "images/coco/000001.jpg", "images/h36m/000000.jpg",
        "dataset_extras/coco_2014_train.npz", "dataset_extras/h36m_train.npz",
        "dataset_extras/mpii_train.npz", "dataset_extras/hr-lspet_train.npz",
        "dataset_extras/lsp_dataset_original_train.npz", "static_fits/coco_fits.npy",
        *(f"final_fits/{name}.npz" for name in ("coco", "mpii", "lspet", "lsp")),
    },
}  # fmt: skip


def run(dataset: str, body: Path, folder: Path, workers: int) -> dict:
    manifest = folder / "manifest.json"
    arguments = ["demo", dataset, "--body", body, "--settings", json.dumps(SECTION), "--out",
                 folder / dataset, "--manifest", manifest, "--workers", workers]  # fmt: skip
    assert main([str(argument) for argument in arguments]) == 0
    return read_json(manifest)["files"]


@pytest.mark.parametrize("dataset", FILES)
def test_files_are_the_official_ones_and_always_alike(
    dataset: str, body_path: Path, tmp_path: Path
) -> None:
    """Equal settings give equal bytes, whatever the number of processes."""
    first = run(dataset, body_path, tmp_path / "one", 1)
    assert set(first) == FILES[dataset]
    assert run(dataset, body_path, tmp_path / "two", 2) == first


def test_parts_lie_inside_the_silhouette(body_path: Path, tmp_path: Path) -> None:
    run("lsp", body_path, tmp_path, 1)
    folder = tmp_path / "lsp/upi-s1h/data/lsp"
    person, parts = (
        cv2.imread(str(folder / f"im0002_{kind}.png"), cv2.IMREAD_UNCHANGED)
        for kind in ("segmentation", "part_segmentation")
    )
    np.testing.assert_array_equal(person > 0, parts > 0)
    assert set(np.unique(parts)) == {0, 1, 2, 3, 4, 5, 6, 255}
    image = cv2.imread(str(tmp_path / "lsp/lsp_dataset/images/im0002.jpg"))
    assert image.shape[:2] == parts.shape and 0.02 < (parts > 0).mean() < 0.6
