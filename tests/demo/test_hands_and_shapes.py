"""Demo FreiHAND, Complement, 3DOH50K and SSP-3D."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipeline.__main__ import main
from pipeline.body.assets import load_assets
from pipeline.demo.hands import draw_hand, upright
from pipeline.files import read_json
from pipeline.joints import indices

SECTION = {
    "seed": 5,
    "heading_deg": 75,
    "freihand": {"training": 2, "evaluation": 1, "turn_deg": 45},
    "complement": {"poses": 1, "views": 1, "turn_deg": 45},
    "oh3d": {"image_size": 64, "train": 2, "test": 1},
    "ssp3d": {"images": 2},
}
FILES = {
    "freihand": {
        *(f"training/rgb/{k:08d}.jpg" for k in range(8)), "evaluation/rgb/00000000.jpg",
        *(f"training/mask/{k:08d}.jpg" for k in range(2)),
        *(f"{part}_{kind}.json" for part in ("training", "evaluation")
          for kind in ("K", "mano", "xyz", "verts", "scale")),
    },
    "complement": {
        f"{part}/0000/{file}"
        for part in ("base_pose", "trans_pose_batch1", "trans_pose_batch2", "trans_pose_batch3")
        for file in ("pic256/look0/hand.0001.png", "mask256/1.png", "model_mano/1.obj")
    },
    "oh3d": {
        *(f"trainset/{kind}/{k:05d}.{end}" for k in (0, 1)
          for kind, end in (("images", "jpg"), ("masks", "png"))),
        "trainset/annots.json", "testset/annots.json", "testset/images/00000.jpg",
    },
    "ssp3d": {"labels.npz", *(f"{kind}/{k:05d}.png" for kind in ("images", "silhouettes")
                              for k in (0, 1))},
}  # fmt: skip


def run(dataset: str, body: Path, folder: Path, workers: int) -> dict:
    manifest = folder / "manifest.json"
    arguments = ["demo", dataset, "--body", body, "--settings", json.dumps(SECTION), "--out",
                 folder / dataset, "--manifest", manifest, "--workers", workers]  # fmt: skip
    assert main([str(argument) for argument in arguments]) == 0
    return read_json(manifest)["files"]


@pytest.fixture(scope="module", params=FILES)
def made(request, body_path: Path, tmp_path_factory) -> tuple[str, Path, dict]:
    folder = tmp_path_factory.mktemp("demo")
    files = run(request.param, body_path, folder, 1)
    return request.param, folder / request.param, files


def test_files_are_the_official_ones_and_always_alike(made, body_path, tmp_path) -> None:
    """Equal settings give equal bytes, whatever the number of processes."""
    dataset, _, files = made
    assert set(files) == FILES[dataset]
    assert run(dataset, body_path, tmp_path, 2) == files


def test_annotations_have_the_official_keys_and_shapes(made) -> None:
    dataset, root, _ = made
    if dataset == "freihand":
        shapes = {"K": (2, 3, 3), "mano": (2, 1, 61), "xyz": (2, 21, 3), "verts": (2, 778, 3),
                  "scale": (2,)}  # fmt: skip
        for kind, shape in shapes.items():
            assert np.array(read_json(root / f"training_{kind}.json")).shape == shape
        assert cv2.imread(str(root / "training/rgb/00000003.jpg")).shape == (224, 224, 3)
    elif dataset == "complement":
        lines = (root / "base_pose/0000/model_mano/1.obj").read_text().splitlines()
        assert [sum(line.startswith(kind) for line in lines) for kind in "vf"] == [778, 1538]
        picture = root / "base_pose/0000/pic256/look0/hand.0001.png"
        assert cv2.imread(str(picture)).shape == (256, 256, 3)
    elif dataset == "oh3d":
        label = read_json(root / "trainset/annots.json")["00000"]
        shapes = {"extri": (4, 4), "intri": (3, 3), "bbox": (2, 2), "betas": (1, 10),
                  "pose": (1, 72), "trans": (1, 3), "scale": (1,), "smpl_joints_2d": (24, 2),
                  "smpl_joints_3d": (24, 3), "lsp_joints_2d": (14, 2),
                  "lsp_joints_3d": (14, 3)}  # fmt: skip
        assert {key: np.array(label[key]).shape for key in shapes} == shapes
        assert label.keys() - shapes.keys() == {"img_path", "mask_path"}
    else:
        with np.load(root / "labels.npz", allow_pickle=False) as labels:
            assert {key: labels[key].shape for key in labels.files} == {
                "fnames": (2,), "shapes": (2, 10), "poses": (2, 72), "cam_trans": (2, 3),
                "joints2D": (2, 17, 3), "bbox_centres": (2, 2), "bbox_whs": (2,), "genders": (2,),
            }  # fmt: skip
            assert sorted(labels["genders"]) == ["f", "m"]


def test_hands_are_seen_and_differ(body_path: Path, tmp_path: Path) -> None:
    run("freihand", body_path, tmp_path, 1)
    folder = tmp_path / "freihand/training"
    masks = [cv2.imread(str(folder / f"mask/{k:08d}.jpg"), 0) > 127 for k in (0, 1)]
    assert all(0.01 < mask.mean() < 0.4 for mask in masks) and (masks[0] != masks[1]).any()
    green, other = (cv2.imread(str(folder / f"rgb/{k:08d}.jpg")).astype(int) for k in (0, 2))
    apart = np.abs(green - other).mean(-1)
    inner = cv2.erode(masks[0].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert apart[inner].mean() < 0.5 * apart[~masks[0]].mean()  # one hand, another background


def test_demo_hands_show_their_palm_within_a_limit(body_path: Path) -> None:
    model = load_assets(body_path).hand_models["right"]
    place = np.array([0, 0, 0.7])
    wrist, thumb, first, middle, last = indices(
        "freihand21", ("wrist", "thumb4", "index1", "middle1", "pinky1")
    )
    points = draw_hand(np.random.default_rng(0), model, place, 0.0).joints
    fingers, across = points[middle] - points[wrist], points[last] - points[first]
    assert abs(fingers[0]) < 0.02 and fingers[1] < -0.05 and across[0] < -0.02
    assert points[thumb, 0] > points[middle, 0] and points[thumb, 2] < points[middle, 2]
    turns = []
    for seed in range(30):
        orient = draw_hand(np.random.default_rng(seed), model, place, 30.0).global_orient
        turns.append((Rotation.from_rotvec(orient) * upright(model).inv()).magnitude())
    assert 20 < np.degrees(max(turns)) <= 30.001
