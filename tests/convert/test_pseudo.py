"""Fits of EFT and NeuralAnnot on COCO: joined by annotation, each with a camera of its own."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.body.smpl import SMPLLayer
from pipeline.cameras import cam_to_translation, estimate_translation, translation_to_cam
from pipeline.convert.common import project
from pipeline.convert.pseudo import NeuralAnnot, eft_fit
from pipeline.convert.run import convert
from pipeline.errors import InputError
from pipeline.joints import index
from pipeline.records import Records
from pipeline.rotations import axis_angle_to_matrix

FOCAL, CROP = 5000.0, 224.0
FILE = "annotations/COCO2014-All-ver01.json"
ANNOTATED = "annotations/person_keypoints_train2014.json"


def tree(mini: SimpleNamespace, entry: dict) -> np.ndarray:
    """Return the joints (24, 3) of an entry's body about SMPL's own origin."""
    layer = SMPLLayer(mini.MODELS["neutral"])
    arrays = ([entry["parm_shape"]], [entry["parm_pose"]])
    return layer.joints(*(torch.tensor(a).float() for a in arrays))[0].double().numpy()


def entry_of(mini: SimpleNamespace, label: dict, fit: dict) -> dict:
    """Return EFT's entry of an annotation, in a box that is not the annotated one."""
    x, y, width, height = label["bbox"]
    center, side = np.array([x + width / 2 + 7, y + height / 2 - 5]), 1.35 * max(width, height)
    pose = torch.tensor(fit["smpl_param"]["pose"]).reshape(24, 3).double()
    entry = {
        "parm_pose": axis_angle_to_matrix(pose).tolist(),
        "parm_shape": fit["smpl_param"]["shape"],
        "bbox_scale": side / 200,
        "bbox_center": center.tolist(),
        "smpltype": "smpl",
        "annotId": label["id"],
        "imageName": "COCO_train2014_000000000001.jpg",
        "joint_validity_openpose18": [1] * 18,
        "gt_keypoint_2d": np.zeros((49, 3)).tolist(),
    }
    camera = fit["cam_param"]
    K = np.array([[camera["focal"][0], 0, camera["princpt"][0]],
                  [0, camera["focal"][1], camera["princpt"][1]], [0, 0, 1]])  # fmt: skip
    joints = tree(mini, entry)
    seen = (project(joints + fit["smpl_param"]["trans"], K) - center) * CROP / side + CROP / 2
    arrays = (joints[None], seen[None], np.ones((1, 24)))
    transl = estimate_translation(*map(torch.from_numpy, arrays), FOCAL, CROP / 2)
    entry["parm_cam"] = translation_to_cam(transl, FOCAL, CROP)[0].tolist()
    return entry


@pytest.fixture(scope="module")
def eft(
    mini: SimpleNamespace, raw: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """COCO with fits of EFT for the annotations 900 to 902, beside those of NeuralAnnot."""
    root = tmp_path_factory.mktemp("eft") / "coco"
    shutil.copytree(raw["coco"], root)
    labels = {
        label["id"]: label for label in json.loads((root / ANNOTATED).read_text())["annotations"]
    }
    fits = json.loads((root / "annotations/MSCOCO_train_SMPL_NeuralAnnot.json").read_text())
    data = [entry_of(mini, labels[number], fits[str(number)]) for number in (902, 900, 901)]
    (root / FILE).write_text(json.dumps({"ver": 0.1, "data": data}))
    return root


def run(mini: SimpleNamespace, root: Path, out: Path, **changes: object) -> Records:
    settings = mini.SETTINGS["coco"] | {"labels": "EFT", "labels_file": FILE} | changes
    convert("coco", "train", root, mini.MODELS, settings, out)
    return Records(out)


def test_eft_is_joined_by_annotation_id(mini: SimpleNamespace, eft: Path, tmp_path: Path) -> None:
    """The order of the file is not that of the annotations; those without an entry stay bare."""
    records = run(mini, eft, tmp_path / "out.h5")
    assert records.person.tolist() == [900, 901, 902, 903]
    assert records.smpl_valid.tolist() == [1, 1, 1, 0]
    entries = {e["annotId"]: e for e in json.loads((eft / FILE).read_text())["data"]}
    for row in range(3):
        np.testing.assert_allclose(
            records.betas[row], entries[records.person[row]]["parm_shape"], atol=1e-6
        )


def test_rotation_matrices_become_axis_angle(
    mini: SimpleNamespace, eft: Path, tmp_path: Path
) -> None:
    records = run(mini, eft, tmp_path / "out.h5")
    neural = run(mini, eft, tmp_path / "neural.h5", labels="NeuralAnnot", labels_file=None)
    np.testing.assert_allclose(records.body_pose[:3], neural.body_pose[:3], atol=1e-5)
    turned = [
        axis_angle_to_matrix(torch.from_numpy(r.global_orient[:3])) for r in (records, neural)
    ]
    np.testing.assert_allclose(*turned, atol=1e-5)  # a turn by pi has two axes


def test_the_camera_is_of_the_entrys_own_box(
    mini: SimpleNamespace, eft: Path, tmp_path: Path
) -> None:
    """Seen in the 224 px crop of that box, bodies are where (s, tx, ty) says."""
    records = run(mini, eft, tmp_path / "out.h5")
    entries = {e["annotId"]: e for e in json.loads((eft / FILE).read_text())["data"]}
    for row in range(3):
        entry = entries[records.person[row]]
        side, center = 200 * entry["bbox_scale"], np.array(entry["bbox_center"])
        assert abs(records.side[row] - side) > 1 and np.abs(records.center[row] - center).min() > 1
        joints = tree(mini, entry)
        moved = joints + cam_to_translation(torch.tensor([entry["parm_cam"]]), FOCAL, CROP).numpy()
        crop = moved[:, :2] / moved[:, 2:] * FOCAL + CROP / 2
        expected = (crop - CROP / 2) * side / CROP + center
        seen = project(joints + records.transl[row], records.K[row])
        np.testing.assert_allclose(seen, expected, atol=0.02)
        labels = records.keypoints_2d[row]
        for joint in ("l_wrist", "r_ankle", "r_elbow"):
            apart = seen[index("smpl24", joint)] - labels[index("coco17", joint), :2]
            assert np.linalg.norm(apart) < 0.1 * side  # of perspective that a far camera lacks


def test_the_camera_of_another_box_is_refused(
    mini: SimpleNamespace, eft: Path, tmp_path: Path
) -> None:
    shutil.copytree(eft, tmp_path / "raw")
    content = json.loads((tmp_path / "raw" / FILE).read_text())
    for entry in content["data"]:
        entry["bbox_center"] = (np.array(entry["bbox_center"]) + 60).tolist()
    (tmp_path / "raw" / FILE).write_text(json.dumps(content))
    with pytest.raises(InputError, match="SMPL joints"):
        run(mini, tmp_path / "raw", tmp_path / "out.h5")


def test_fits_are_sources(mini: SimpleNamespace, eft: Path, tmp_path: Path) -> None:
    shutil.copytree(eft, tmp_path / "raw")
    content = json.loads((tmp_path / "raw" / FILE).read_text())
    (tmp_path / "raw" / FILE).write_text(json.dumps(content | {"ver": 0.2}))
    hashes = [run(mini, root, tmp_path / f"{k}.h5").attrs["source_sha256"]
              for k, root in enumerate((eft, tmp_path / "raw"))]  # fmt: skip
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize("scale", [0.0, np.nan])
def test_cameras_must_have_a_scale(mini: SimpleNamespace, eft: Path, scale: float) -> None:
    entry = json.loads((eft / FILE).read_text())["data"][0]
    with pytest.raises(InputError, match="parm_cam"):
        eft_fit(entry | {"parm_cam": [scale, 0, 0]}, "fits.json: entry 0")


GOOD = {"smpl_param": {"pose": [0.0] * 72, "shape": [0.0] * 10, "trans": [0.0, 0.0, 3.0]},
        "cam_param": {"focal": [1000.0, 1000.0], "princpt": [100.0, 100.0]}}  # fmt: skip
NEURAL_ANNOT = "annotations/MSCOCO_train_SMPL_NeuralAnnot.json"


def changed(*keys: str, value: object) -> dict:
    """Return a good fit with one of its entries replaced; None takes it out."""
    fit = json.loads(json.dumps(GOOD))
    node = fit
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = value
    if value is None:
        del node[keys[-1]]
    return fit


@pytest.mark.parametrize(
    ("fit", "field"),
    [
        (changed("cam_param", value=None), "cam_param"),
        (changed("smpl_param", value=None), "smpl_param"),
        (changed("cam_param", "focal", value=[1000.0]), "focal"),
        (changed("cam_param", "princpt", value=[np.nan, 0.0]), "princpt"),
        (changed("smpl_param", "pose", value=[[0.0] * 3] * 24), "pose"),
        (changed("smpl_param", "pose", value=[0.0] * 63), "pose"),
        (changed("smpl_param", "shape", value=[0.0] * 9), "shape"),
        (changed("smpl_param", "trans", value=["far"] * 3), "trans"),
        (changed("smpl_param", value=[0.0] * 85), "pose"),
    ],
    ids=["no camera", "no body", "one focal length", "NaN", "axes", "SMPL-X", "betas", "text",
         "flat"],
)  # fmt: skip
def test_damaged_neural_annot_is_one_line(
    mini: SimpleNamespace, raw: dict[str, Path], tmp_path: Path, fit: dict, field: str
) -> None:
    root, out = tmp_path / "raw", tmp_path / "out" / "out.h5"
    shutil.copytree(raw["coco"], root)
    content = json.loads((root / NEURAL_ANNOT).read_text())
    content["900"] = fit
    (root / NEURAL_ANNOT).write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        run(mini, root, out, labels="NeuralAnnot", labels_file=None)
    text = str(error.value)
    assert f"annotation 900: {field}: saw " in text and "\n" not in text
    assert not out.parent.exists() or not list(out.parent.iterdir())


@pytest.mark.parametrize("content", ["{", "[]", "3"], ids=["truncated", "a list", "a number"])
def test_what_is_no_neural_annot_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "fits.json").write_text(content)
    with pytest.raises(InputError, match="fits.json"):
        NeuralAnnot(tmp_path / "fits.json")
