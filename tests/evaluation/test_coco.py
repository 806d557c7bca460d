"""COCO keypoints of predicted meshes: projected back into the image, scored by its annotations."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.body.joints_from_body import joint_matrix
from pipeline.convert.common import project
from pipeline.errors import InputError
from pipeline.evaluation import coco
from pipeline.evaluation.predictions import Task
from pipeline.evaluation.protocols import get_protocol
from pipeline.files import read_json
from pipeline.joints import flip_permutation, index, mapping
from pipeline.records import Records, subset
from tests.convert.demo_miniature import Miniature, edit_json, make
from tests.evaluation.known_bodies import SIZE, KnownBodies, evaluate_verb

DEMO = {"image_size": 128, "train_people": 1, "val_people": 8}
CONVERTER = {
    "converter": "coco", "year": 2014, "labels": "NeuralAnnot", "min_limb_joints": 12,
    "splits": {"val": {"folder": "val"}, "train": {"folder": "train"}},
}  # fmt: skip
PROTOCOL = get_protocol("coco_keypoints")


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "coco", DEMO, CONVERTER)


@pytest.fixture(scope="module")
def records(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("val", tmp_path_factory.mktemp("coco") / "val.h5")


def truth(mini: Miniature, records: Records, **options: object) -> KnownBodies:
    """Return a network that knows the labels of the records."""
    pose = np.concatenate([records.global_orient[:, None], records.body_pose], 1)
    if options.pop("swap", False):
        pose[:, 1:] = pose[:, flip_permutation("smpl24")[1:]] * [1, -1, -1]
    seen = np.stack([
        project(mini.tree_joints(records, i).astype(float), records.K[i])
        for i in range(len(records))
    ])  # fmt: skip
    return KnownBodies(mini.assets, pose, records.betas, seen, records, **options)


def measure(network: KnownBodies, records: Records, mini: Miniature, raw: Path | None = None):
    settings = {"image_size": SIZE, "batch_size": 3, "raw": raw or mini.raw}
    return coco.measure(Task(network, str(records.path), PROTOCOL, mini.assets, settings))


def main_people_only(mini: Miniature, target: Path, records: Records) -> Path:
    """Return raw files whose other people are not annotated, so that nobody can be missed."""
    keep = set(records.person.tolist())

    def drop(content: dict) -> None:
        content["annotations"] = [a for a in content["annotations"] if a["id"] in keep]

    return mini.copy(target, edit_json("person_keypoints_val2014.json", drop))


@pytest.mark.parametrize("mesh_only", [False, True])
def test_the_right_bodies_find_every_keypoint(
    mini: Miniature, records: Records, tmp_path: Path, mesh_only: bool
) -> None:
    raw = main_people_only(mini, tmp_path / "raw", records)
    network = truth(mini, records, mesh_only=mesh_only)
    measured = measure(network, records, mini, raw)
    assert PROTOCOL.metrics == ("ap", "ap50", "ap75", "ap_m", "ap_l")
    assert {"ap", "ap50", "ap75"} < set(measured.pooled) < set(PROTOCOL.metrics)  # none is large
    assert set(measured.units.values()) == {"%"}
    assert measured.pooled["ap50"] > 99 and measured.pooled["ap"] > 60


def test_people_who_are_not_predicted_count_as_missed(
    mini: Miniature, records: Records, tmp_path: Path
) -> None:
    raw = main_people_only(mini, tmp_path / "raw", records)

    def double(content: dict) -> None:
        more = [{**a, "id": a["id"] + 5000, "bbox": [0, 0, 40, 40],
                 "keypoints": [v + 40 if k % 3 == 0 else v for k, v in enumerate(a["keypoints"])]}
                for a in content["annotations"]]  # fmt: skip
        content["annotations"] += more

    edit_json("person_keypoints_val2014.json", double)(raw)
    measured = measure(truth(mini, records), records, mini, raw)
    assert 40 < measured.pooled["ap50"] < 60


def test_swapped_sides_miss_keypoints(mini: Miniature, records: Records, tmp_path: Path) -> None:
    raw = main_people_only(mini, tmp_path / "raw", records)
    right, wrong = (
        measure(truth(mini, records, swap=swap), records, mini, raw).pooled["ap75"]
        for swap in (False, True)
    )
    assert wrong < right


def test_hips_are_those_of_the_regressor(mini: Miniature) -> None:
    """COCO's hips are the annotated ones of SPIN's 24, not joints 1 and 2 of SMPL's tree."""
    matrix = joint_matrix(mini.assets, "spin24")[mapping("spin24", "coco17")].toarray()
    for name in ("l_hip", "r_hip"):
        assert (matrix[index("coco17", name), :24] == 0).all()
    assert mapping("spin24", "coco17").tolist() == [
        19, 20, 21, 22, 23, 9, 8, 10, 7, 11, 6, 3, 2, 4, 1, 5, 0,
    ]  # fmt: skip


def test_joints_of_a_mesh_without_pose_are_nearly_the_same(
    mini: Miniature, records: Records
) -> None:
    network, joints = truth(mini, records), coco.MeshJoints(mini.assets)
    predicted = {"vertices": network.vertices, "rotmats": network.rotmats, "betas": network.betas}
    with_pose = joints(predicted)
    apart = (with_pose - joints({"vertices": network.vertices})).norm(dim=-1)
    regressed = [index("coco17", name) for name in ("nose", "l_hip", "r_hip")]
    assert apart.median() < 0.03 and apart[:, regressed].max() < 2e-3
    assert with_pose.shape == (len(records), 17, 3) and with_pose.dtype == torch.float32


def test_the_file_is_that_of_the_images_folder(mini: Miniature, records: Records) -> None:
    path = coco.annotation_file(records, mini.raw / "annotations")
    assert path.name == "person_keypoints_val2014.json"


def test_annotations_of_other_images_are_refused(
    mini: Miniature, records: Records, tmp_path: Path
) -> None:
    """An annotation file with the same name and other ids is not the one of the records."""

    def shift(content: dict) -> None:
        for label in content["annotations"]:
            label["id"] += 3

    raw = mini.copy(tmp_path / "raw", edit_json("person_keypoints_val2014.json", shift))
    with pytest.raises(InputError, match="annotations: saw annotation"):
        measure(truth(mini, records), records, mini, raw)


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_text(path.read_text()[:500]), "no JSON"),
        (lambda path: path.write_text("[]"), "annotations: saw annotation"),
    ],
)
def test_damaged_annotations_are_refused(
    mini: Miniature, records: Records, tmp_path: Path, damage, word: str
) -> None:
    shutil.copytree(mini.raw / "annotations", tmp_path / "annotations")
    damage(tmp_path / "annotations/person_keypoints_val2014.json")
    with pytest.raises(InputError, match=word) as error:
        measure(truth(mini, records), records, mini, tmp_path)
    assert "\n" not in str(error.value)


def test_the_verb_writes_percent(
    mini: Miniature, records: Records, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    few = tmp_path / "few.h5"
    subset(records.path, few, range(3))
    arguments = (tmp_path, mini.body, mini.assets, few, "coco_keypoints")
    assert evaluate_verb(*arguments) == 1 and "--raw" in capsys.readouterr().err
    assert evaluate_verb(*arguments, "--raw", str(mini.raw)) == 0
    content = read_json(tmp_path / "metrics.json")
    assert content["metrics"]["ap"]["unit"] == "%" and content["count"] == 3
    assert json.loads(json.dumps(content["protocol"]))["dataset"] == "coco"
