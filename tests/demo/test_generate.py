"""The verb `demo`: every data set in its official layout, small."""

import json
import pickle

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from pipeline.__main__ import main
from pipeline.body.joints_from_body import regress
from pipeline.body.smpl import SMPLLayer
from pipeline.convert.common import smpl_to_camera
from pipeline.demo import pw3d
from pipeline.files import read_json
from pipeline.rotations import axis_angle_to_matrix

SECTION = {
    "seed": 6,
    "heading_deg": 75,
    "amass": {"sequences_per_motion": 1, "seconds": 0.5, "rate_hz": 60},
    "h36m": {
        "image_size": 64, "subjects_train": [1], "subjects_test": [11], "camera_arc_deg": 60,
        "train_frames": 6, "test_frames": 2, "frames_per_sequence": 2,
    },
    "pw3d": {
        "image_size": 64, "train_frames": 3, "validation_frames": 2, "test_frames": 30,
        "frames_per_sequence": 8,
    },
    "coco": {"image_size": 96, "train_people": 40, "val_people": 2},
}  # fmt: skip


def run(dataset, body, folder, workers=1, section=SECTION):
    out, manifest = folder / dataset, folder / f"{dataset}.manifest.json"
    arguments = ["demo", dataset, "--body", body, "--out", out, "--manifest", manifest]
    settings = ["--settings", json.dumps(section), "--workers", workers]
    return main([str(a) for a in [*arguments, *settings]])


@pytest.fixture(scope="module")
def made(body_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")

    def make(dataset):
        if not (folder / dataset).exists():
            assert run(dataset, body_path, folder) == 0
        return folder / dataset

    return make


LAYERS = {}


def body_joints(model, pose, betas, transl):
    """Vertices and joints of float arrays (N, 72), (10,), (N, 3)."""
    if id(model) not in LAYERS:
        LAYERS[id(model)] = SMPLLayer(model)
    layer = LAYERS[id(model)]
    pose, count = np.asarray(pose).reshape(-1, 24, 3), len(transl)
    tensors = [np.tile(betas, (count, 1)), pose, np.asarray(transl)]
    shape, pose, transl = (torch.from_numpy(np.array(x, np.float32)) for x in tensors)
    with torch.no_grad():
        return layer(shape, axis_angle_to_matrix(pose), transl)


@pytest.mark.parametrize("dataset", ["h36m", "pw3d", "coco", "amass"])
def test_equal_bytes_for_any_number_of_workers(dataset, made, body_path, tmp_path):
    folder = made(dataset)
    assert run(dataset, body_path, tmp_path, workers=2) == 0
    lists = [read_json(f / f"{dataset}.manifest.json") for f in (folder.parent, tmp_path)]
    assert lists[0] == lists[1] and len(lists[0]["files"]) >= 10
    assert not list(tmp_path.glob("*.part"))


def test_another_seed_gives_other_people(made, body_path, tmp_path):
    folder = made("h36m")
    assert run("h36m", body_path, tmp_path, section=SECTION | {"seed": 7}) == 0
    files = [read_json(f / "h36m.manifest.json")["files"] for f in (folder.parent, tmp_path)]
    assert files[0].keys() == files[1].keys()
    same = [name for name in files[0] if files[0][name] == files[1][name]]
    assert not same


def test_missing_settings_and_failures_leave_nothing(body_path, tmp_path, capsys):
    assert run("coco", body_path, tmp_path, section={"seed": 0, "heading_deg": 75}) == 1
    assert "coco" in capsys.readouterr().err
    broken = SECTION | {"h36m": SECTION["h36m"] | {"image_size": None}}
    with pytest.raises(TypeError):
        run("h36m", body_path, tmp_path, section=broken)
    assert not list(tmp_path.iterdir())


def test_h36m(made, assets):
    folder = made("h36m")
    for subject, images_per_camera in ((1, 6), (11, 2)):
        stem = folder / "annotations" / f"Human36M_subject{subject}"
        data, cameras, joints, smpl = (
            read_json(f"{stem}_{name}.json")
            for name in ("data", "camera", "joint_3d", "SMPL_NeuralAnnot")
        )
        boxes = {label["image_id"]: label["bbox"] for label in data["annotations"]}
        assert len(data["images"]) == 4 * 5 * images_per_camera
        for image in data["images"]:
            path = folder / "images" / image["file_name"]
            act, sub, frame = (
                str(image[key]) for key in ("action_idx", "subaction_idx", "frame_idx")
            )
            assert path.exists() == (image["frame_idx"] % 5 == 0)
            assert path.stem.endswith(f"_{image['frame_idx'] + 1:06d}")
            camera = cameras[str(image["cam_idx"])]
            world = np.array(joints[act][sub][frame])  # mm, z up
            points = world @ np.array(camera["R"]).T + camera["t"]
            pixels = points[:, :2] / points[:, 2:] * camera["f"] + camera["c"]
            x, y, width, height = boxes[image["id"]]
            low, high = pixels.min(0), pixels.max(0)
            np.testing.assert_allclose([width, height], 1.2 * (high - low), atol=0.1)
            np.testing.assert_allclose([x + width / 2, y + height / 2], (low + high) / 2, atol=0.1)
            assert (low > 0).all() and (high < image["width"]).all()
            # facing every camera: the person's left is on the right
            assert pixels[4, 0] > pixels[1, 0] - 2
        fit = smpl[act][sub][frame]
        vertices, _ = body_joints(
            assets.models["neutral"], [fit["pose"]], fit["shape"], [fit["trans"]]
        )
        J = torch.from_numpy(assets.J_regressor_h36m).float()
        regressed = regress(J, vertices)[0].numpy() * 1000
        np.testing.assert_allclose(regressed, world, atol=0.05)
    image = cv2.imread(str(next((folder / "images").rglob("*.jpg"))))
    assert image.shape == (64, 64, 3) and image.std() > 10


def test_pw3d(made, assets):
    folder, valid_frames, people, lost = made("pw3d"), {}, set(), 0
    for path in sorted((folder / "sequenceFiles").rglob("*.pkl")):
        with open(path, "rb") as file:
            data = pickle.load(file, encoding="latin1")
        count, actors = len(data["img_frame_ids"]), len(data["poses"])
        people.add(actors)
        assert data["sequence"] == path.stem
        assert len(list((folder / "imageFiles" / path.stem).glob("image_*.jpg"))) == count
        assert (data["cam_poses"].shape, data["cam_intrinsics"].shape) == ((count, 4, 4), (3, 3))
        valid = sum(int(v.sum()) for v in data["campose_valid"])
        valid_frames[path.parent.name] = valid_frames.get(path.parent.name, 0) + valid
        for k in range(actors):
            shapes = [data[key][k].shape for key in ("poses", "trans", "poses2d", "poses_60Hz")]
            assert shapes == [(count, 72), (count, 3), (count, 3, 18), (2 * count, 72)]
            _check_person(data, k, assets)
            lost += (data["poses2d"][k] == 0).all(1).sum()
    assert lost > 5
    assert valid_frames == {"train": 3, "validation": 2, "test": 30}
    assert people == {1, 2}


def _check_person(data, k, assets):
    model = assets.models[{"m": "male", "f": "female"}[data["genders"][k]]]
    betas, trans, poses = data["betas"][k], data["trans"][k], data["poses"][k]
    _, joints = body_joints(model, poses, betas, trans)
    world = data["jointPositions"][k].reshape(-1, 24, 3)
    np.testing.assert_allclose(joints.numpy(), world, atol=1e-4)
    R, t = data["cam_poses"][:, :3, :3], data["cam_poses"][:, :3, 3]
    shape = np.tile(betas, (len(poses), 1))
    orient, moved = smpl_to_camera(poses[:, :3], trans, shape, R, t, model)
    _, seen = body_joints(model, np.hstack([orient, poses[:, 3:]]), betas, moved)
    pixels = seen.numpy() @ data["cam_intrinsics"].T
    pixels = pixels[..., :2] / pixels[..., 2:]
    found = (data["poses2d"][k][:, 2] > 0) & (data["campose_valid"][k] > 0)[:, None]
    # OpenPose 2-4 and 5-7 are the right and left arms, SMPL 17, 19, 21 and 16, 18, 20
    for openpose, smpl in zip(range(2, 8), (17, 19, 21, 16, 18, 20), strict=True):
        apart = data["poses2d"][k][:, :2, openpose] - pixels[:, smpl]
        assert (np.linalg.norm(apart, axis=1)[found[:, openpose]] < 4).all()
    assert found[data["campose_valid"][k] > 0].mean() > 0.5


def test_pw3d_plans_as_many_valid_frames_as_asked():
    for count in (1, 2, 7, 30, 120, 121):
        for length in (1, 5, 8, 12):
            frames = {f"{split}_frames": count for split in pw3d.SPLITS}
            settings = {"seed": 0, "frames_per_sequence": length, **frames}
            tasks = pw3d.plan(settings)
            for split in pw3d.SPLITS:
                own = [task for task in tasks if task["split"] == split]
                assert sum(t["people"] * t["frames"] - t["lost"] for t in own) == count
                assert all(0 < t["frames"] <= length for t in own)


def test_coco(made, assets):
    folder, found = made("coco"), {}
    for split, expected in (("train", 40), ("val", 2)):
        content = read_json(folder / "annotations" / f"person_keypoints_{split}2014.json")
        fits = read_json(folder / "annotations" / f"MSCOCO_{split}_SMPL_NeuralAnnot.json")
        images = {image["id"]: image for image in content["images"]}
        assert len(images) == expected
        full = 0
        for label in content["annotations"]:
            image = images[label["image_id"]]
            keypoints = np.array(label["keypoints"]).reshape(17, 3)
            assert label["num_keypoints"] == (keypoints[:, 2] > 0).sum()
            assert (keypoints[keypoints[:, 2] == 0] == 0).all()
            full += (keypoints[5:, 2] > 0).all()
            _check_outline(label, image)
            found.setdefault("crowd", set()).add(label["iscrowd"])
            found.setdefault("flags", set()).update(keypoints[:, 2])
            if not label["iscrowd"]:
                _check_fit(fits[str(label["id"])], keypoints, assets)
        assert full == expected
        for image in images.values():
            picture = cv2.imread(str(folder / f"{split}2014" / image["file_name"]))
            assert picture.shape[:2] == (image["height"], image["width"])
            found.setdefault("sizes", set()).add(picture.shape[:2])
    assert found["flags"] == {0, 1, 2} and len(found["sizes"]) > 10
    assert found["crowd"] == {0, 1}
    assert content["categories"][0]["keypoints"][5:7] == ["left_shoulder", "right_shoulder"]


def _check_outline(label, image):
    size = image["height"], image["width"]
    outline = label["segmentation"]
    if label["iscrowd"]:
        mask = coco_mask.decode(coco_mask.frPyObjects(outline, *size))
        assert mask.sum() == label["area"]
    x, y, width, height = label["bbox"]
    assert 0 <= x < x + width <= size[1] and 0 <= y < y + height <= size[0]
    assert 0 < label["area"] <= width * height


def _check_fit(fit, keypoints, assets):
    smpl, camera = fit["smpl_param"], fit["cam_param"]
    model = assets.models["neutral"]
    vertices, _ = body_joints(model, [smpl["pose"]], smpl["shape"], [smpl["trans"]])
    J = torch.from_numpy(assets.J_regressor_coco).float()
    points = regress(J, vertices)[0].numpy()
    pixels = points[:, :2] / points[:, 2:] * camera["focal"] + camera["princpt"]
    labelled = keypoints[:, 2] > 0
    np.testing.assert_allclose(pixels[labelled], keypoints[labelled, :2], atol=0.05)


def test_amass(made):
    folder, genders, empty = made("amass") / "Demo", set(), 0
    for path in folder.rglob("*.npz"):
        data = np.load(path, allow_pickle=False)
        if path.name == "shape.npz":
            assert "poses" not in data and data["betas"].shape == (16,)
            continue
        assert path.name.endswith("_poses.npz")
        if "poses" not in data:
            empty += 1
            continue
        assert data["poses"].shape == (30, 156) and data["poses"].dtype == np.float64
        assert data["trans"].shape == (30, 3) and data["dmpls"].shape == (30, 8)
        assert data["betas"].shape == (16,) and data["gender"].shape == ()
        assert data["mocap_framerate"] != 60 and round(float(data["mocap_framerate"])) == 60
        assert data["marker_data"].shape == (30, len(data["marker_labels"]), 3)
        genders.add(data["gender"].item())
        assert 0.5 < data["trans"][:, 2].mean() + 0.3 < 2.5  # z up
        head = data["marker_data"][:, list(data["marker_labels"]).index("C7"), 2]
        assert head.min() > 0.3
    assert empty == 1 and genders == {"male", "female", b"male", b"female"}
    assert all((subject / "shape.npz").exists() for subject in folder.iterdir())
