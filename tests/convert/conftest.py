"""Miniatures of the official distributions: a stick body, two images, every key and trap."""

import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from pipeline.body.smpl import BodyModel, SMPLLayer
from pipeline.joints import JOINT_SETS, parents_smpl24
from pipeline.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from pipeline.seeding import rng

CROP = {"size": 96, "margin": 1.8, "jpeg_quality": 95}
COMMON = {"crop": CROP, "max_bad_share": 0.0, "count_tolerance": 0.0, "box_factor": 1.2}
# Half of a T-pose, y up, facing +z, left at +x; the right half is its mirror image.
HEIGHTS = {
    "pelvis": (0, 0, 0), "spine1": (0, 0.1, 0), "spine2": (0, 0.22, 0), "spine3": (0, 0.3, 0),
    "neck": (0, 0.5, 0), "head": (0, 0.6, 0.02), "l_hip": (0.08, -0.08, 0),
    "l_knee": (0.1, -0.5, 0), "l_ankle": (0.1, -0.9, 0), "l_foot": (0.1, -0.95, 0.12),
    "l_collar": (0.08, 0.42, 0), "l_shoulder": (0.18, 0.45, 0), "l_elbow": (0.44, 0.45, 0),
    "l_wrist": (0.7, 0.45, 0), "l_hand": (0.78, 0.45, 0),
}  # fmt: skip
FACE = {"jaw": (0, 0.6, 0.1), "head_top": (0, 0.75, 0.0), "nose": (0, 0.62, 0.12),
        "l_eye": (0.03, 0.65, 0.1), "l_ear": (0.08, 0.64, 0.02)}  # fmt: skip
# World (z up) to a camera at 4 m that looks along +y, slightly turned.
TILT = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
SIZE = (320, 300)  # width, height


def place(table: dict, name: str) -> np.ndarray:
    """Return a T-pose point of either side."""
    mirrored = name.replace("r_", "l_", 1) if name.startswith("r_") else name
    return np.array(table[mirrored], float) * ([-1, 1, 1] if mirrored != name else 1)


def stick_model(size: float = 1.0) -> BodyModel:
    """Return a body whose vertices are its 24 joints, then the face."""
    names = JOINT_SETS["smpl24"]
    joints = size * np.stack([place(HEIGHTS, name) for name in names])
    joints += [0.002, -0.22, 0.03]  # the pelvis is not the origin
    shapes = 0.02 * rng(0, "shapes").normal(size=(24, 3, 10))
    return BodyModel(
        joints, shapes, np.zeros((24, 3, 0)), np.eye(24), np.eye(24), np.array(parents_smpl24),
        np.zeros((1, 3), int),
    )  # fmt: skip


MODELS = {"neutral": stick_model(), "male": stick_model(1.05), "female": stick_model(0.95)}


class Person:
    """A person in a world with z up, 4 m in front of the camera."""

    def __init__(self, seed: int, gender: str = "neutral") -> None:
        draw = rng(0, "person", seed)
        self.pose, self.betas = draw.normal(0, 0.15, (24, 3)), draw.normal(size=10)
        self.pose[0] = facing(draw.uniform(-0.6, 0.6))
        self.transl = np.array([draw.uniform(-0.2, 0.2), 4.0, 1.0])
        self.gender = gender
        layer = SMPLLayer(MODELS[gender])
        arrays = (self.betas[None], self.pose[None], self.transl[None])
        betas, pose, transl = (torch.from_numpy(a).float() for a in arrays)
        self.rotmats = axis_angle_to_matrix(pose)
        self.world = layer.joints(betas, self.rotmats, transl)[0].double().numpy()
        turn = self.rotmats[0, 0].double().numpy()
        self.face = {}
        for name in ("jaw", "head_top", "nose", "l_eye", "r_eye", "l_ear", "r_ear"):
            rest = place(FACE, name) - place(HEIGHTS, "neck")
            self.face[name] = self.world[12] + turn @ rest

    def joints(self, joint_set: str) -> np.ndarray:
        """Return the joints of a set in the world, metres."""
        other = {"spine_h36m": "spine1", "neck_h36m": "neck"}
        face = {"jaw_h36m": "jaw", "head_h36m": "head_top"}
        found = []
        for name in JOINT_SETS[joint_set]:
            name = other.get(face.get(name, name), face.get(name, name))
            at = self.face[name] if name in self.face else self.world[
                JOINT_SETS["smpl24"].index(name)
            ]  # fmt: skip
            found.append(at)
        return np.stack(found)


def facing(heading: float) -> np.ndarray:
    """Return the orientation (axis-angle) of a body that faces the camera, turned about z."""
    cos, sin = np.cos(heading), np.sin(heading)
    about_z = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # y up to z up, facing -y
    return matrix_to_axis_angle(torch.from_numpy(about_z @ upright)).numpy()


def camera(turn: float = 0.1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return R, t (metres) with x_cam = R x + t, and K."""
    cos, sin = np.cos(turn), np.sin(turn)
    R = np.array([[cos, 0, sin], [0, 1.0, 0], [-sin, 0, cos]]) @ TILT
    K = np.array([[300.0, 0, 158], [0, 305, 149], [0, 0, 1]])
    return R, np.array([-0.4, 1.0, 0.1]), K


def see(world: np.ndarray) -> np.ndarray:
    """Return the pixels (N, 2) of world points."""
    R, t, K = camera()
    image = (world @ R.T + t) @ K.T
    return image[:, :2] / image[:, 2:]


def write_image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = cv2.resize(rng(0, "image", seed).integers(0, 255, (30, 32, 3), np.uint8), SIZE)
    cv2.imwrite(str(path), image)


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_h36m(root: Path) -> Path:
    """Subject 1: frames 0..10 of one action in camera 4, frame 5 without a SMPL fit."""
    R, t, K = camera()
    folder = "s_01_act_02_subact_01_ca_04"
    images, labels, joints, fits = [], [], {}, {}
    for frame in range(11):
        person, number = Person(frame), str(frame)
        joints[number] = (1000 * person.joints("h36m17")).tolist()
        if frame != 5:
            fits[number] = {"pose": person.pose.ravel().tolist(), "trans": person.transl.tolist(),
                            "shape": person.betas.tolist()}  # fmt: skip
        name = f"{folder}/{folder}_{frame + 1:06d}.jpg"
        images.append({
            "id": 100 + frame, "file_name": name, "width": SIZE[0], "height": SIZE[1],
            "subject": 1, "action_name": "Directions", "action_idx": 2, "subaction_idx": 1,
            "cam_idx": 4, "frame_idx": frame,
        })  # fmt: skip
        points = see(person.joints("h36m17"))
        low, extent = points.min(0) - 5, np.ptp(points, axis=0) + 10
        box = [*low, *extent]
        labels.append({"id": 500 + frame, "image_id": 100 + frame, "bbox": box,
                       "keypoints_vis": [True] * 17})  # fmt: skip
        if frame % 5 == 0:
            write_image(root / "images" / name, frame)
    base = root / "annotations" / "Human36M_subject1"
    write_json(Path(f"{base}_data.json"), {"images": images, "annotations": labels})
    cam = {"R": R.tolist(), "t": (1000 * t).tolist(), "f": [K[0, 0], K[1, 1]],
           "c": K[:2, 2].tolist()}  # fmt: skip
    write_json(Path(f"{base}_camera.json"), {str(k): cam for k in (1, 2, 3, 4)})
    write_json(Path(f"{base}_joint_3d.json"), {"2": {"1": joints}})
    write_json(Path(f"{base}_SMPL_NeuralAnnot.json"), {"2": {"1": fits}})
    return root


def write_pw3d(root: Path) -> Path:
    """Two persons, three frames: one camera pose invalid, one person undetected once."""
    R, t, K = camera()
    people = [[Person(10 * p + f, "mf"[p] == "m" and "male" or "female") for f in range(3)]
              for p in range(2)]  # fmt: skip
    for row in people:  # one shape a person
        for person in row[1:]:
            person.__dict__.update(reshaped(person, row[0].betas))
    extrinsics = np.tile(np.eye(4), (3, 1, 1))
    extrinsics[:, :3, :3], extrinsics[:, :3, 3] = R, t
    names = ["neck", "r_shoulder", "r_elbow", "r_wrist"]
    assert list(JOINT_SETS["openpose18"][1:5]) == names
    points = [np.stack([np.column_stack([see(f.joints("openpose18")), np.full(18, 0.9)]).T
                        for f in row]) for row in people]  # fmt: skip
    points[0][:, :, 3] = 0
    points[1][2] = 0
    content = {
        "sequence": "courtyard_00", "genders": ["m", "f"], "img_frame_ids": np.arange(3),
        "poses": [np.stack([f.pose.ravel() for f in row]) for row in people],
        "trans": [np.stack([f.transl for f in row]) for row in people],
        "betas": [np.concatenate([row[0].betas, np.ones(p)]) for p, row in enumerate(people)],
        "jointPositions": [np.stack([f.world.ravel() for f in row]) for row in people],
        "poses2d": points, "cam_poses": extrinsics, "cam_intrinsics": K,
        "campose_valid": [np.array([1, 1, 0]), np.array([1, 1, 1])],
    }  # fmt: skip
    path = root / "sequenceFiles" / "test" / "courtyard_00.pkl"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(content, protocol=2))
    for frame in range(3):
        write_image(root / "imageFiles" / "courtyard_00" / f"image_{frame:05d}.jpg", frame)
    return root


def reshaped(person: Person, betas: np.ndarray) -> dict:
    """Return a person's attributes with another shape."""
    layer = SMPLLayer(MODELS[person.gender])
    arrays = (betas[None], person.transl[None])
    shape, transl = (torch.from_numpy(a).float() for a in arrays)
    world = layer.joints(shape, person.rotmats, transl)[0].double().numpy()
    moved = world[12] - person.world[12]
    return {"betas": betas, "world": world, "face": {k: v + moved for k, v in person.face.items()}}


def write_coco(root: Path) -> Path:
    """Four good persons in two images, one without a fit, and one for every filter."""
    R, t, K = camera()
    images, labels, fits = [], [], {}
    for image in (1, 2):
        name = f"COCO_train2014_{image:012d}.jpg"
        write_image(root / "train2014" / name, image)
        images.append({"id": image, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
    for number in range(8):
        person = Person(number)
        points = see(person.joints("coco17"))
        flags = np.full(17, 2.0)
        flags[0] = 0
        flags[5] = 1
        crowd, box = 0, [*points.min(0), *np.ptp(points, axis=0)]
        if number == 4:
            crowd = 1
        elif number == 5:
            flags[[15, 16]] = 0  # 14 joints, 10 of the limbs
        elif number == 6:
            flags[:] = 0
        elif number == 7:
            box[2] = 0.5
        keypoints = np.column_stack([points, flags])
        keypoints[flags == 0] = 0
        labels.append({"id": 900 + number, "image_id": 1 + number % 2, "category_id": 1,
                       "iscrowd": crowd, "bbox": box, "num_keypoints": int((flags > 0).sum()),
                       "keypoints": keypoints.ravel().tolist()})  # fmt: skip
        turned = R @ person.rotmats[0, 0].double().numpy()
        orient = matrix_to_axis_angle(torch.from_numpy(turned)).numpy()
        pelvis = MODELS["neutral"].joint_template[0]
        pelvis = pelvis + MODELS["neutral"].joint_shapedirs[0] @ person.betas
        transl = R @ (pelvis + person.transl) + t - pelvis
        if number != 3:
            fits[str(900 + number)] = {
                "smpl_param": {"pose": [*orient, *person.pose[1:].ravel()],
                               "shape": person.betas.tolist(), "trans": transl.tolist()},
                "cam_param": {"focal": [K[0, 0], K[1, 1]], "princpt": K[:2, 2].tolist()},
            }  # fmt: skip
    path = root / "annotations"
    content = {"images": images, "annotations": labels, "categories": []}
    write_json(path / "person_keypoints_train2014.json", content)
    write_json(path / "MSCOCO_train_SMPL_NeuralAnnot.json", fits)
    return root


SETTINGS = {
    "h36m": COMMON | {"converter": "h36m_json", "frame_step": 5, "labels": "NeuralAnnot",
                      "skip_sequences": [], "splits": {"train": {"subjects": [1]}}},
    "pw3d": COMMON | {"converter": "pw3d", "splits": {"test": {"folder": "test"}}},
    "coco": COMMON | {"converter": "coco", "year": 2014, "labels": "NeuralAnnot",
                      "min_limb_joints": 12, "splits": {"train": {"folder": "train"}}},
}  # fmt: skip
WRITERS = {"h36m": write_h36m, "pw3d": write_pw3d, "coco": write_coco}
SPLITS = {"h36m": "train", "pw3d": "test", "coco": "train"}


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the miniature of every dataset; not to be changed."""
    root = tmp_path_factory.mktemp("raw")
    return {name: write(root / name) for name, write in WRITERS.items()}


@pytest.fixture(scope="session")
def mini() -> SimpleNamespace:
    """Return what the miniatures are made of."""
    return SimpleNamespace(
        MODELS=MODELS, SETTINGS=SETTINGS, SPLITS=SPLITS, Person=Person, camera=camera, see=see
    )
