"""SSP-3D: known bodies through its protocols."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.body.smpl import SMPLLayer
from pipeline.cameras import estimate_translation, translation_to_cam
from pipeline.convert.common import project
from pipeline.data.crops import crop_affine, transform_points
from pipeline.errors import InputError
from pipeline.evaluation import ssp3d
from pipeline.evaluation.predictions import Measured, Task
from pipeline.evaluation.protocols import get_protocol
from pipeline.records import GENDERS, Records
from pipeline.rotations import axis_angle_to_matrix
from tests.convert.demo_miniature import Miniature, make, truncate
from tests.convert.test_ssp3d import DEMO, SETTINGS
from tests.evaluation.known_bodies import FOCAL, SIZE, evaluate_verb

FULL, SILHOUETTE = get_protocol("ssp3d"), get_protocol("ssp3d_silhouette")


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "ssp3d", DEMO, SETTINGS)


@pytest.fixture(scope="module")
def records(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("test", tmp_path_factory.mktemp("ssp3d") / "test.h5")


class GenderedBodies(nn.Module):
    """Predicts the labelled meshes, of each person's own model, and betas if given."""

    def __init__(self, mini: Miniature, records: Records, betas: np.ndarray | None = None) -> None:
        super().__init__()
        meshes, cams = [], []
        for row in range(len(records)):
            pose = np.concatenate([records.global_orient[row][None], records.body_pose[row]])
            rotmats = axis_angle_to_matrix(torch.from_numpy(pose))[None]
            layer = SMPLLayer(mini.assets.models[GENDERS[records.gender[row]]])
            mesh, joints = layer(torch.from_numpy(records.betas[row][None]), rotmats)
            placed = joints[0].double().numpy() + records.transl[row]
            affine = crop_affine(records.center[row], records.side[row], SIZE)
            seen = transform_points(project(placed, records.K[row]), affine)
            arrays = (joints.double(), torch.from_numpy(seen)[None], torch.ones(1, 24))
            moved = estimate_translation(*arrays, FOCAL, SIZE / 2)
            cams.append(translation_to_cam(moved, FOCAL, SIZE)[0])
            meshes.append(mesh[0])
        self.vertices, self.cam = torch.stack(meshes), torch.stack(cams)
        self.betas = None if betas is None else torch.from_numpy(np.asarray(betas, np.float32))
        self.done = 0

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        rows = slice(self.done, self.done + len(image))
        self.done += len(image)
        found = {"vertices": self.vertices[rows], "cam": self.cam[rows]}
        return found if self.betas is None else {**found, "betas": self.betas[rows]}


def run(mini: Miniature, records: Records, network: nn.Module, protocol, raw: Path) -> Measured:
    settings = {"image_size": SIZE, "batch_size": 2, "raw": raw}
    return ssp3d.measure(Task(network, str(records.path), protocol, mini.assets, settings))


def test_the_right_bodies_fill_their_silhouettes(mini: Miniature, records: Records) -> None:
    """Drawn through a crop of 64 px, compared in the image of 512 px."""
    measured = run(mini, records, GenderedBodies(mini, records), SILHOUETTE, mini.raw)
    assert measured.rows.tolist() == [0, 1, 2] and list(measured.per_sample) == ["miou_mean"]
    assert measured.per_sample["miou_mean"].min() > 96
    assert 97 < measured.pooled["miou_pooled"] <= 100
    assert measured.units == {"miou_mean": "%", "miou_pooled": "%"}


def test_the_two_means_are_those_of_their_names(
    mini: Miniature, records: Records, tmp_path: Path
) -> None:
    """Pixels of all images together, or images one by one."""
    raw = mini.copy(tmp_path / "raw")
    path = raw / "silhouettes" / "00000.png"
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    lower = mask.copy()
    lower[: np.flatnonzero(mask.any(1)).mean().astype(int)] = 0  # the upper body is not annotated
    cv2.imwrite(str(path), lower)
    measured = run(mini, records, GenderedBodies(mini, records), SILHOUETTE, raw)
    share = (lower > 0).sum() / (mask > 0).sum()
    assert abs(measured.per_sample["miou_mean"][0] / 100 - share) < 0.03
    areas = np.array([(cv2.imread(str(mini.raw / "silhouettes" / f"{k:05d}.png"), 0) > 0).sum()
                      for k in range(3)])  # fmt: skip
    pooled = (areas.sum() - areas[0] + areas[0] * share) / areas.sum()
    assert abs(measured.pooled["miou_pooled"] / 100 - pooled) < 0.03


def test_bodies_elsewhere_do_not_overlap(mini: Miniature, records: Records) -> None:
    network = GenderedBodies(mini, records)
    network.cam[:, 1] += 5
    measured = run(mini, records, network, SILHOUETTE, mini.raw)
    assert measured.pooled["miou_pooled"] == 0 and measured.per_sample["miou_mean"].max() == 0


def test_shape_errors_are_of_neutral_predictions_and_gendered_labels(
    mini: Miniature, records: Records
) -> None:
    network = GenderedBodies(mini, records, records.betas)
    measured = run(mini, records, network, FULL, mini.raw)
    for row, value in enumerate(measured.per_sample["pve_t_sc"]):
        pair = []
        for gender in ("neutral", GENDERS[records.gender[row]]):
            model = mini.assets.models[gender]
            mesh = model.v_template + model.shapedirs @ records.betas[row].astype(float)
            pair.append(mesh - mesh.mean(0))
        pred, truth = pair
        pred = pred / np.sqrt((pred**2).sum() / 6890) * np.sqrt((truth**2).sum() / 6890)
        expected = 1000 * np.linalg.norm(pred - truth, axis=1).mean()
        assert value == pytest.approx(expected, rel=1e-5) and value > 1


def test_scale_and_translation_do_not_count() -> None:
    mesh = np.random.default_rng(0).normal(size=(100, 3))
    assert ssp3d.scale_corrected_error(3 * mesh + 2, mesh) < 1e-12
    assert ssp3d.scale_corrected_error(mesh * [1, 1, 2], mesh) > 0.1


def test_networks_without_betas_have_the_silhouettes_alone(
    mini: Miniature, records: Records
) -> None:
    with pytest.raises(InputError, match="one that predicts betas, or ssp3d_silhouette"):
        run(mini, records, GenderedBodies(mini, records), FULL, mini.raw)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda root: shutil.rmtree(root / "silhouettes"), "no such file, .*SSP-3D"),
        (truncate("silhouettes/00001.png"), "truncated or no image"),
        (lambda root: cv2.imwrite(str(root / "silhouettes/00001.png"),
                                  np.zeros((400, 512), np.uint8)), "512 x 400 pixels"),
    ],
)  # fmt: skip
def test_damaged_silhouettes_are_named(
    mini: Miniature, records: Records, tmp_path: Path, change, word: str
) -> None:
    raw = mini.copy(tmp_path / "raw", change)
    with pytest.raises(InputError, match=word):
        run(mini, records, GenderedBodies(mini, records), SILHOUETTE, raw)


def test_the_verb_needs_the_raw_files(
    mini: Miniature, records: Records, tmp_path: Path, capsys
) -> None:
    args = (tmp_path, mini.body, mini.assets, records.path, "ssp3d")
    assert evaluate_verb(*args) == 1 and "--raw" in capsys.readouterr().err
    assert evaluate_verb(*args, "--raw", str(mini.raw)) == 0
    found = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    assert {name: entry["unit"] for name, entry in found.items()} == {
        "miou_mean": "%", "miou_pooled": "%", "pve_t_sc": "mm",
    }  # fmt: skip
