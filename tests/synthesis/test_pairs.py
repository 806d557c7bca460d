import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

from pipeline.__main__ import main
from pipeline.body.assets import load_assets
from pipeline.body.smpl import SMPLLayer
from pipeline.joints import index
from pipeline.rotations import axis_angle_to_matrix
from pipeline.synthesis import pairs
from pipeline.synthesis.virtual_cameras import choose_views, place, read_cameras

GENDERS = ("neutral", "male", "female")
SETTINGS = {
    "views": 4,
    "views_per_mesh": "random",
    "placement": "h36m_extrinsics",
    "distort": False,
    "gender": "recorded",
    "heading_deg": None,
    "box_factor": 1.2,
    "percent": 100,
    "seed": 0,
}


@pytest.fixture
def make(tmp_path, mocap_file, body_file, camera_table):
    """Return a function that runs the verb and gives the arrays and attributes of its file."""

    def run(name="pairs", **changes):
        settings = json.dumps(SETTINGS | {"cameras": camera_table} | changes)
        out = tmp_path / f"{name}.h5"
        inputs = ["--mocap", str(mocap_file), "--body", str(body_file)]
        if main(["pairs", *inputs, "--settings", settings, "--out", str(out)]):
            return None
        with h5py.File(out) as file:
            data = {key: file[key][:] for key in (*pairs.ROWS, *pairs.MESH_ROWS)}
            return data | dict(file.attrs)

    return run


def rotmats(data, rows=slice(None)):
    """Return (n, 24, 3, 3) camera-frame rotations of some pairs."""
    body_pose = data["mesh/body_pose"][data["mesh_row"]][rows]
    pose = np.concatenate([data["global_orient"][rows], body_pose], 1)
    return axis_angle_to_matrix(torch.from_numpy(pose).view(-1, 24, 3))


def test_reprojecting_the_full_mesh_gives_the_key_points(make, body_file, camera_table):
    """All that a network is trained on: mesh from the stored parameters against stored joints."""
    data = make(views=8)
    assets = load_assets(body_file)
    cameras = choose_views(read_cameras(camera_table), 8)
    assert list(data["camera_ids"]) == list(cameras.ids)
    for row in (0, 17, 61, 99):
        mesh = data["mesh_row"][row]
        layer = SMPLLayer(assets.models[GENDERS[data["mesh/gender"][mesh]]])
        betas = torch.from_numpy(data["mesh/betas"][mesh : mesh + 1])
        vertices, joints = layer(betas, rotmats(data, slice(row, row + 1)))
        points = assets.J_regressor_coco @ (vertices[0] - joints[0, :1]).double().numpy()
        view = data["view"][row]
        points = points + cameras.translation[view]
        pixels = points[:, :2] / points[:, 2:] * cameras.focal[view] + cameras.principal[view]
        assert np.abs(pixels - data["keypoints"][row]).max() < 2e-3


def test_people_stand_upright(make):
    data = make()
    x, y = np.moveaxis(data["keypoints"], -1, 0)
    nose, ankle = index("coco17", "nose"), index("coco17", "l_ankle")
    assert (y[:, nose] + 150 < y[:, ankle]).all()  # y points down
    assert ((x > 0) & (x < 1000) & (y > 0) & (y < 1000)).all()


@pytest.mark.parametrize("placement", ["h36m_extrinsics", "pose2mesh"])
def test_heading_zero_faces_the_camera(make, placement):
    data = make(heading_deg=0, views=8, views_per_mesh="all", placement=placement)
    x = data["keypoints"][..., 0]
    for part in ("shoulder", "hip"):
        left, right = index("coco17", f"l_{part}"), index("coco17", f"r_{part}")
        assert (x[:, left] > x[:, right]).all()  # a person's left is on the image's right
    front = rotmats(data)[:, 0] @ torch.tensor([0.0, 0.0, 1.0])
    assert (front[:, 2] < -0.8).all()  # towards the camera, which looks down a little
    assert (front[:, 0].abs() < 0.35).all()


def test_heading_is_uniform_within_its_limits(make, camera_table):
    data = make(heading_deg=60, views_per_mesh="all")
    cameras = place(read_cameras(camera_table), "h36m_extrinsics")
    rotation = torch.from_numpy(cameras.rotation).float()[torch.from_numpy(data["view"]).long()]
    world = rotation.mT @ rotmats(data)[:, 0]
    azimuth = torch.atan2(world[:, 1, 2], world[:, 0, 2]).numpy()
    turn = np.rad2deg(azimuth - cameras.azimuth()[data["view"]] + 3 * np.pi) % 360 - 180
    assert np.abs(turn).max() < 60.01
    assert np.abs(np.percentile(turn, [10, 50, 90]) - [-48, 0, 48]).max() < 10


def test_recorded_heading_is_kept(make, mocap_file, camera_table):
    data = make()
    cameras = read_cameras(camera_table)
    with h5py.File(mocap_file) as file:
        orient = file["pose"][:, :3][data["mocap_row"]]
    recorded = axis_angle_to_matrix(torch.from_numpy(orient)).double()
    expected = torch.from_numpy(cameras.rotation[data["view"]]) @ recorded
    assert (rotmats(data)[:, 0] - expected).abs().max() < 1e-5


def test_boxes_hold_the_joints(make):
    data = make()
    ndc = 2 * (data["keypoints"] - data["center"][:, None]) / data["side"][:, None, None]
    assert np.allclose(np.abs(ndc).max((1, 2)), 1 / 1.2, atol=1e-4)
    assert np.allclose(ndc.max(1) + ndc.min(1), 0, atol=1e-3)


def test_rows_belong_together(make, mocap_file):
    data = make(views_per_mesh="all", views=2)
    with h5py.File(mocap_file) as file:
        pose, gender, split = (file[key][:] for key in ("pose", "gender", "split"))
    assert len(data["keypoints"]) == 2 * len(pose)
    assert data["view"].tolist() == [0, 1] * len(pose)
    assert np.array_equal(data["split"], split[data["mocap_row"]])
    assert data["count_train"] == 2 * np.count_nonzero(split == 0)
    assert data["count_validation"] == 2 * np.count_nonzero(split == 1)
    assert np.array_equal(data["mesh/body_pose"][data["mesh_row"]][:, :63],
                          pose[data["mocap_row"], 3:])  # fmt: skip
    assert not data["mesh/body_pose"][:, 63:].any()
    assert np.array_equal(data["mesh/gender"], gender)


def test_subsets_are_nested_and_seen_alike(make, monkeypatch):
    monkeypatch.setattr(pairs, "CHUNK", 25)
    whole = make("whole", heading_deg=30)
    before = set()
    for percent in (20, 60):
        part = make(f"part{percent}", heading_deg=30, percent=percent)
        rows = np.searchsorted(whole["mocap_row"], part["mocap_row"])
        for name in ("keypoints", "global_orient", "view", "split"):
            assert np.allclose(part[name], whole[name][rows], atol=1e-3), name
        train = set(part["mocap_row"][part["split"] == 0].tolist())
        assert len(train) == part["count_train"] == round(percent / 100 * whole["count_train"])
        assert part["count_validation"] == whole["count_validation"]
        assert before < train
        before = train


def test_same_bytes_for_the_same_seed(make, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make(name, seed=seed)
    first, again, other = ((tmp_path / f"{name}.h5").read_bytes() for name in "abc")
    assert first == again
    assert first != other


def test_all_views_get_their_share(make):
    counts = np.bincount(make(views=4)["view"], minlength=4)
    assert counts.min() > 15


def test_neutral_model_for_everyone(make):
    data, recorded = make(gender="neutral"), make("recorded")
    assert not data["mesh/gender"].any()
    assert not np.allclose(data["keypoints"], recorded["keypoints"], atol=0.5)


def test_absent_models_are_replaced_by_the_neutral_one(body_file):
    assets = load_assets(body_file)
    few = SimpleNamespace(
        models={name: assets.models[name] for name in ("neutral", "female")},
        J_regressor_coco=assets.J_regressor_coco,
    )
    joints = pairs.CocoJoints(few, "recorded")
    assert joints.models(np.array([0, 1, 2], np.uint8)).tolist() == [0, 0, 2]
    betas = torch.ones(3, 10)
    bodies = joints(torch.zeros(3, 69), betas, np.array([0, 0, 2], np.uint8))
    assert torch.equal(bodies[0], bodies[1]) and not torch.allclose(bodies[0], bodies[2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"views": 5}, "synthesis.pairs.views"),
        ({"views_per_mesh": "some"}, "synthesis.pairs.views_per_mesh: saw some"),
        ({"placement": "above"}, "synthesis.pairs.placement: saw above"),
        ({"percent": 0}, "synthesis.pairs.percent: saw 0"),
        ({"gender": "male"}, "synthesis.pairs.gender: saw male"),
    ],
)
def test_wrong_settings_are_refused(make, tmp_path, capsys, changes, message):
    assert make(**changes) is None
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_other_files_are_refused(tmp_path, body_file, camera_table, capsys):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["pose"] = np.zeros((3, 66))
    settings = json.dumps(SETTINGS | {"cameras": camera_table})
    for name in ("other.h5", "absent.h5"):
        inputs = ["--mocap", str(tmp_path / name), "--body", str(body_file)]
        out = str(tmp_path / "pairs.h5")
        assert main(["pairs", *inputs, "--settings", settings, "--out", out]) == 1
        assert name in capsys.readouterr().err
