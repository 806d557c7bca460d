"""The verbs `iuv` and `contact-sheet` on records of the open body."""

import json

import cv2
import h5py
import numpy as np
import pytest
import torch

from pipeline.__main__ import main
from pipeline.body.joints_from_body import JointsFromBody
from pipeline.body.smpl import SMPLLayer
from pipeline.data.crops import crop_affine
from pipeline.records import Records, RecordsWriter
from pipeline.rendering.contact_sheet import contact_sheet
from pipeline.rendering.labels import LabelledBodies
from pipeline.rendering.rasterizer import rasterize
from pipeline.rotations import axis_angle_to_matrix

K = np.array([[900.0, 0, 200], [0, 900, 160], [0, 0, 1]])
RESOLUTION = 48


@pytest.fixture(scope="session")
def records_path(assets, tmp_path_factory):
    """Rows: 0 exact, 1 the same without its camera, 2 without SMPL, 3 female, 4 out of sight."""
    path = tmp_path_factory.mktemp("records") / "toy.h5"
    rng = np.random.default_rng(0)
    with RecordsWriter(path, "toy", "train", "all", "coco17") as writer:
        for row in range(5):
            gender = "female" if row == 3 else "neutral"
            orient = np.array([np.pi, 0, 0])  # upright: y up becomes y down
            pose = 0.2 * np.random.default_rng(1).normal(size=(23, 3))
            transl = np.array([40.0 if row == 4 else 0.3, 0.1, 5.0])
            rotmats = axis_angle_to_matrix(torch.from_numpy(np.vstack([orient, pose])).float())
            layer = SMPLLayer(assets.models[gender])
            tensors = torch.zeros(1, 10), rotmats[None], torch.from_numpy(transl)[None]
            with torch.no_grad():
                vertices, joints = layer(*tensors)
                points = JointsFromBody(assets, "coco17")(joints, vertices)[0].numpy()
            pixels = (points / points[:, 2:]) @ K.T
            center, side = np.array([250.0, 180.0]), 420.0
            fields = dict(
                affine=crop_affine(center, side, 96), original_size=(400, 320), center=center,
                side=side, name=f"{row}.jpg",
                keypoints_2d=np.column_stack([pixels[:, :2], np.ones(17)]),
            )  # fmt: skip
            if row != 2:
                fields |= dict(
                    global_orient=orient, body_pose=pose, betas=np.zeros(10), gender=gender
                )
            if row not in (1, 2):
                fields |= dict(transl=transl, K=K)
            writer.add(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8), **fields)
    return path


def run(records, body, out, *more, **settings):
    settings = {"resolution": RESOLUTION, "engine": "zbuffer"} | settings
    arguments = ["iuv", "--records", records, "--body", body, "--out", out]
    return main([str(a) for a in [*arguments, "--settings", json.dumps(settings), *more]])


@pytest.fixture(scope="session")
def maps(records_path, body_path, tmp_path_factory):
    out = tmp_path_factory.mktemp("iuv") / "toy.h5"
    assert run(records_path, body_path, out) == 0
    return out


def read(path):
    with h5py.File(path) as file:
        return {key: file[key][:] for key in ("part", "u", "v", "valid")}, dict(file.attrs)


def test_validity_and_shapes(maps):
    arrays, attrs = read(maps)
    assert arrays["valid"].tolist() == [1, 1, 0, 1, 0]
    assert arrays["part"].shape == (5, RESOLUTION, RESOLUTION)
    assert all(arrays[key].dtype == np.uint8 for key in arrays)
    assert attrs["engine"] == "zbuffer" and attrs["valid"] == 3 and attrs["dataset"] == "toy"
    assert (arrays["part"][2] == 0).all() and arrays["part"][0].max() <= 24


def test_maps_cover_the_labelled_body_in_the_stored_crop(maps, records_path, assets):
    records, (arrays, _) = Records(records_path), read(maps)
    body = LabelledBodies(records, assets).place([0])[0]
    scale = np.diag([RESOLUTION / 96, RESOLUTION / 96, 1])
    matrix = scale @ np.vstack([records.affine[0], [0, 0, 1]]) @ K
    silhouette = rasterize(body.vertices_cam, assets.faces, matrix, RESOLUTION, RESOLUTION)
    assert ((arrays["part"][0] > 0) == (silhouette.face_id >= 0)).all()
    keypoints = records.keypoints_2d[0, :, :2] @ records.affine[0, :, :2].T
    cells = ((keypoints + records.affine[0, :, 2]) / 2).astype(int)
    assert arrays["part"][0][cells[:, 1], cells[:, 0]].astype(bool).mean() > 0.8


def test_a_body_without_camera_is_placed_by_its_joints(maps):
    part = read(maps)[0]["part"]
    exact, estimated = part[0] > 0, part[1] > 0
    overlap = (exact & estimated).sum() / (exact | estimated).sum()
    assert overlap > 0.8  # the near camera of this picture is not the far one of the estimate


def test_the_gendered_body_is_drawn(maps):
    part = read(maps)[0]["part"]
    assert (part[0] != part[3]).any()


def test_equal_bytes_for_any_number_of_workers(maps, records_path, body_path, tmp_path):
    out = tmp_path / "two.h5"
    assert run(records_path, body_path, out, "--workers", "2") == 0
    assert out.read_bytes() == maps.read_bytes()


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"engine": "opengl"}, "engine"), ({"resolution": 0}, "resolution"), ({"size": 3}, "size")],
)
def test_wrong_settings_are_refused(records_path, body_path, tmp_path, capsys, settings, word):
    assert run(records_path, body_path, tmp_path / "x.h5", **settings) == 1
    assert word in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_contact_sheet(records_path, body_path, maps, tmp_path):
    out = tmp_path / "sheet.png"
    arguments = ["--records", records_path, "--body", body_path, "--iuv", maps, "--out", out]
    assert main(["contact-sheet", *map(str, arguments), "--count", "5"]) == 0
    picture = cv2.imread(str(out))
    assert picture.shape == (3 * 192, 2 * 4 * 192, 3)


def test_without_maps_the_parts_are_those_of_the_labels(records_path, body_path, maps):
    """Drawn at the sheet's resolution, they cover what the stored maps cover."""
    drawn, stored = (
        contact_sheet(records_path, given, body_path, 1)[20:, 3 * 192 :].astype(int)
        for given in (None, maps)
    )
    assert drawn.shape == stored.shape
    assert (np.abs(drawn - stored).sum(2) < 60).mean() > 0.9
    assert (drawn.max(2) > 120).mean() > 0.05
