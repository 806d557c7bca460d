"""The verb `body` on official-format files written from the open body."""

import json
import shutil

import numpy as np
import pytest
import scipy.io
import torch

from pipeline.__main__ import main
from pipeline.body import official, open_body, parts
from pipeline.body.assets import (
    FACE_VERTICES,
    GENDERS,
    BodyAssets,
    collect,
    load_assets,
)
from pipeline.body.joints_from_body import JointsFromBody, regress, with_required
from pipeline.body.meshes import read_atlas, read_levels
from pipeline.body.smpl import BodyModel, SMPLLayer
from pipeline.errors import InputError
from pipeline.joints import JOINT_SETS, flip_permutation, index, mapping
from pipeline.rotations import axis_angle_to_matrix

LEVELS = [1723, 431, 108]
SETTINGS = json.dumps({"levels": LEVELS, "num_betas": 10})


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The files as written; to be read only."""
    raw = tmp_path_factory.mktemp("shipped") / "body_models"
    open_body.write_files(raw)
    return raw


@pytest.fixture
def raw(shipped, tmp_path):
    """Links to the files, for tests that replace or remove some."""
    copy = tmp_path / "body_models"
    shutil.copytree(shipped, copy, copy_function=lambda a, b: shutil.os.symlink(a, b))
    return copy


@pytest.fixture(scope="module")
def asset_file(shipped, tmp_path_factory):
    out = tmp_path_factory.mktemp("body") / "smpl.npz"
    assert run(shipped, out) == 0
    return out


@pytest.fixture(scope="module")
def assets(asset_file) -> BodyAssets:
    return load_assets(asset_file)


def run(raw, out, settings=SETTINGS):
    return main(["body", "--raw", str(raw), "--settings", settings, "--out", str(out)])


def replace(path, writer):
    """Put another file in place of a link."""
    path.unlink()
    writer(path)


def template(assets):
    return assets.models["neutral"].v_template


def random_body(layer, batch=3):
    generator = torch.Generator().manual_seed(0)
    betas = torch.randn(batch, 10, generator=generator)
    rotmats = axis_angle_to_matrix(torch.randn(batch, 24, 3, generator=generator) * 0.4)
    return layer(betas, rotmats)


def test_the_file_repeats_the_official_content(assets, shipped):
    for gender in GENDERS:
        model = official.read_smpl(shipped / f"smpl/SMPL_{gender.upper()}.pkl", 10)
        for key, value in vars(model).items():
            np.testing.assert_array_equal(vars(assets.models[gender])[key], value)
    assert assets.faces.shape == (13776, 3)
    assert {side: len(hand.v_template) for side, hand in assets.hands.items()} == {
        "right": 778, "left": 778,
    }  # fmt: skip
    assert assets.hands_mean["right"].shape == (45,)
    assert {key: value.shape for key, value in assets.mean.items()} == {
        "pose6d": (144,), "betas": (10,), "cam": (3,),
    }  # fmt: skip
    assert assets.computed == ("level 108", "parts6", "parts14", "parts24_smpl")


def test_equal_files_give_equal_bytes(asset_file, shipped, tmp_path):
    run(shipped, tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == asset_file.read_bytes()


def test_left_is_at_positive_x_in_every_regressor(assets):
    rows = {"h36m17": assets.J_regressor_h36m, "coco17": assets.J_regressor_coco}
    for joint_set, regressor in rows.items():
        joints = regressor @ template(assets)
        for name in JOINT_SETS[joint_set]:
            side = {"l_": 1, "r_": -1}.get(name[:2], 0)
            x = joints[index(joint_set, name), 0]
            assert np.sign(x) == side if side else abs(x) < 0.02, name


def test_both_orders_of_the_h36m_regressor_are_recognised(assets, raw, shipped):
    left_first = np.load(shipped / "smpl/J_regressor_h36m.npy")
    assert (left_first @ template(assets))[1, 0] > 0
    assert "left leg first" in assets.notes["J_regressor_h36m"]
    right_first = left_first[mapping("h36m17_left", "h36m17")]
    np.testing.assert_array_equal(assets.J_regressor_h36m, right_first)
    (raw / "smpl/J_regressor_h36m.npy").unlink()
    np.save(raw / "smpl/J_regressor_h36m_correct.npy", right_first)
    other = collect(raw, [1723], 10)
    np.testing.assert_array_equal(other.J_regressor_h36m, right_first)
    assert other.notes["J_regressor_h36m"].endswith("right leg first, as it is")


def test_the_extra_regressor_with_fourteen_rows(assets, raw):
    fourteen = np.concatenate([assets.J_regressor_coco[:5], assets.J_regressor_extra])
    replace(raw / "smpl/J_regressor_extra.npy", lambda path: np.save(path, fourteen))
    read = official.read_extra_regressor(raw / "smpl/J_regressor_extra.npy", template(assets))
    np.testing.assert_array_equal(read, assets.J_regressor_extra)


@pytest.mark.parametrize("name", ["extra", "coco"])
def test_exchanged_sides_are_refused(assets, raw, name):
    path = raw / f"smpl/J_regressor_{name}.npy"
    flip = flip_permutation("coco17") if name == "coco" else [1, 0, *range(2, 9)]
    exchanged = np.load(path)[flip]
    replace(path, lambda path: np.save(path, exchanged))
    reader = {"extra": official.read_extra_regressor, "coco": official.read_coco_regressor}[name]
    with pytest.raises(InputError, match="hip: saw x ="):
        reader(path, template(assets))


def test_a_regressor_without_two_sides_or_of_another_size_is_refused(assets, raw):
    path = raw / "smpl/J_regressor_h36m.npy"
    rows = np.load(path)
    for broken, message in ((rows[[0] * 17], "hips at x"), (rows[:14], "saw shape .14, 6890")):
        replace(path, lambda path, broken=broken: np.save(path, broken))
        with pytest.raises(InputError, match=message):
            official.read_h36m_regressor(path, template(assets))


def test_levels_select_and_restore(assets):
    assert [len(ids) for ids in assets.levels] == [6890, *LEVELS]
    assert [len(faces) for faces in assets.level_faces[:3]] == [13776, 3442, 858]
    full = template(assets)
    for k, up in enumerate(assets.upsample):
        fine, coarse = full[assets.levels[k]], full[assets.levels[k + 1]]
        restored = up @ coarse
        np.testing.assert_allclose(up.sum(1), 1, atol=1e-9)
        assert np.linalg.norm(restored - fine, axis=1).mean() < (0.002, 0.005, 0.015)[k]
        kept = np.searchsorted(assets.levels[k], assets.levels[k + 1])
        if (np.diff(assets.levels[k]) > 0).all():
            np.testing.assert_allclose(restored[kept], coarse, atol=1e-9)


def test_levels_are_computed_where_none_are_shipped(raw):
    (raw / "smpl/mesh_downsampling.npz").unlink()
    other = collect(raw, [6700], 10)
    assert other.computed[0] == "level 6700"
    assert len(other.levels[1]) == 6700
    assert other.upsample[0].shape == (6890, 6700)


def test_parts_lie_where_they_should(assets):
    centre = template(assets)[assets.faces].mean(1)
    for names, labels in ((parts.PARTS6, assets.parts6), (parts.PARTS14, assets.parts14)):
        assert sorted(set(labels)) == list(range(1, len(names)))
        for label, name in enumerate(names[1:], start=1):
            x = centre[labels == label, 0].mean()
            side = {"left": 1, "right": -1}.get(name.split()[0], 0)
            assert np.sign(x) == side if side else abs(x) < 0.01, name
    assert sorted(set(assets.atlas["part"])) == list(range(1, 25))
    head = parts.PARTS6.index("head")
    assert centre[assets.parts6 == head, 1].min() > centre[:, 1].mean()
    assert set(assets.parts24_smpl) <= set(range(24))


def test_chart_tables():
    assert parts.flip_parts24().tolist() == [
        0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 18, 17, 20, 19, 22, 21, 24, 23
    ]  # fmt: skip
    assert parts.merge_charts().tolist() == [
        0, 1, 1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9, 8, 9, 10, 11, 10, 11, 12, 13, 12, 13, 14, 14
    ]  # fmt: skip


def test_atlas_is_mirror_symmetric(assets):
    mirror = parts.mirror_vertices(template(assets))
    where = {tuple(sorted(face)): i for i, face in enumerate(assets.faces)}
    other = np.array([where[tuple(sorted(mirror[face]))] for face in assets.faces])
    part, uv = assets.atlas["part"], assets.atlas["uv"]
    np.testing.assert_array_equal(part[other], parts.flip_parts24()[part])
    place = (mirror[assets.faces][:, :, None] == assets.faces[other][:, None]).argmax(2)
    mirrored = np.take_along_axis(uv[other], place[:, :, None], 1)
    torso = np.isin(part, (1, 2))  # these two charts are their own mirror images
    np.testing.assert_allclose(mirrored[~torso], uv[~torso], atol=1e-3)
    mirrored[torso, :, 0] = 1 - mirrored[torso, :, 0]
    np.testing.assert_allclose(mirrored[torso], uv[torso], atol=1e-3)


def test_atlas_with_faces_missing(assets, raw):
    path = raw / "smpl/UV_Processed.mat"
    mat = {k: v for k, v in scipy.io.loadmat(path).items() if not k.startswith("__")}
    for key in ("All_Faces", "All_FaceIndices"):
        mat[key] = np.delete(mat[key], (100, 7000), 0)
    replace(path, lambda path: scipy.io.savemat(path, mat))
    atlas = read_atlas(path, assets.faces)
    np.testing.assert_array_equal(atlas["part"], assets.atlas["part"])
    same = np.delete(np.arange(len(assets.faces)), (100, 7000))
    np.testing.assert_array_equal(atlas["uv"][same], assets.atlas["uv"][same])
    np.testing.assert_allclose(atlas["uv"], assets.atlas["uv"], atol=0.05)


def test_damaged_atlas(assets, raw, shipped):
    whole = (shipped / "smpl/UV_Processed.mat").read_bytes()
    path = raw / "smpl/UV_Processed.mat"
    for length in (0, 100, 200, len(whole) // 2, len(whole) - 10):
        replace(path, lambda path, length=length: path.write_bytes(whole[:length]))
        with pytest.raises(InputError, match="UV_Processed.mat"):
            read_atlas(path, assets.faces)


def test_pyramid_of_another_mesh_is_refused(assets, shipped):
    path = shipped / "smpl/mesh_downsampling.npz"
    with pytest.raises(InputError, match=r"F\[0\]"):
        read_levels(path, assets.faces[:-1])


@pytest.mark.parametrize(
    ("name", "site"),
    [
        ("SMPL_NEUTRAL.pkl", "SMPLify site"),
        ("J_regressor_h36m.npy", "SPIN"),
        ("J_regressor_extra.npy", "SPIN"),
        ("J_regressor_coco.npy", "Pose2Mesh"),
        ("smpl_mean_params.npz", "SPIN"),
        ("UV_Processed.mat", "DensePose"),
    ],
)
def test_missing_files_are_named_with_their_source(raw, tmp_path, capsys, name, site):
    (raw / "smpl" / name).unlink()
    assert run(raw, tmp_path / "out.npz") == 1
    message = capsys.readouterr().err
    assert name in message and site in message
    assert not (tmp_path / "out.npz").exists()


def test_official_names_and_absent_models(raw):
    neutral = raw / "smpl/SMPL_NEUTRAL.pkl"
    neutral.rename(neutral.with_name("basicModel_neutral_lbs_10_207_0_v1.0.0.pkl"))
    (raw / "smpl/SMPL_MALE.pkl").rename(raw / "smpl/basicmodel_m_lbs_10_207_0_v1.1.0.pkl")
    (raw / "smpl/SMPL_FEMALE.pkl").unlink()
    shutil.rmtree(raw / "mano")
    other = collect(raw, [1723], 5)
    assert list(other.models) == ["neutral", "male"]
    assert other.notes["female"] == other.notes["mano_left"] == "absent"
    assert not other.hands
    assert other.models["male"].shapedirs.shape == (6890, 3, 5)


def test_models_of_another_size_are_refused(shipped):
    path = shipped / "mano/MANO_RIGHT.pkl"
    with pytest.raises(InputError, match="shapedirs: saw 778 x 3 x 10 .*expected numbers, 6890"):
        official.read_smpl(path, 10)
    with pytest.raises(InputError, match="shapedirs: saw 10 shape directions"):
        official.read_mano(path, 11)


def test_left_hand_with_the_right_hands_sign(assets):
    right, left = assets.hands["right"], assets.hands["left"]
    assert official.fix_left_hand(left, right) is left
    sign = np.array([-1.0, 1.0, 1.0])[:, None]
    as_distributed = BodyModel(**{**vars(left), "shapedirs": left.shapedirs * sign})
    fixed = official.fix_left_hand(as_distributed, right)
    np.testing.assert_array_equal(fixed.shapedirs, left.shapedirs)


@pytest.mark.parametrize("set_name", ["spin24", "spin49", "spin54", "coco17", "h36m17"])
def test_joints_from_few_vertices_equal_those_from_all(assets, set_name):
    model = assets.models["neutral"]
    needed = JointsFromBody(assets, set_name).required_vertices
    assert len(needed) < 250
    ids = with_required(assets.levels[2], needed)
    assert (ids[:431] == assets.levels[2]).all()
    some, chain = random_body(SMPLLayer(model, ids))
    found = JointsFromBody(assets, set_name, ids)(chain, some)
    every, _ = random_body(SMPLLayer(model))
    expected = dense_joints(assets, set_name, chain, every)
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)
    moved = JointsFromBody(assets, set_name, ids)(chain + 5, some + 5)
    torch.testing.assert_close(moved, found + 5, atol=1e-5, rtol=0)


def dense_joints(assets, set_name, chain, vertices):
    if set_name in ("coco17", "h36m17"):
        regressor = getattr(assets, f"J_regressor_{set_name[:-2]}")
        return regress(torch.as_tensor(regressor).float(), vertices)
    extra = torch.as_tensor(assets.J_regressor_extra).float() @ vertices
    spin54 = torch.cat([chain, vertices[:, list(FACE_VERTICES)], extra], 1)
    return spin54[:, mapping("spin54", set_name)]


@pytest.mark.filterwarnings("ignore")
def test_vertex_joints_are_smplx_joints(assets, shipped):
    smplx = pytest.importorskip("smplx")
    reference = smplx.SMPL(str(shipped / "smpl/SMPL_NEUTRAL.pkl"))().joints
    vertices, chain = SMPLLayer(assets.models["neutral"])(
        torch.zeros(1, 10), torch.eye(3).expand(1, 24, 3, 3)
    )
    found = JointsFromBody(assets, "smplx45")(chain, vertices)
    torch.testing.assert_close(found, reference, atol=1e-6, rtol=0)


def test_joints_that_cannot_be_had(assets):
    with pytest.raises(ValueError, match="no spine4"):
        JointsFromBody(assets, "mpi28")
    with pytest.raises(ValueError, match="needs vertices"):
        JointsFromBody(assets, "spin24", np.arange(10))


def test_regressing_is_free_of_the_distance():
    regressor = torch.tensor([[0.5, 0.4996, 0.0], [0.0, 0.3, 0.6996]])
    vertices = torch.tensor([[[0.0, 0.0, 0.0], [0.1, 0.2, 0.0], [0.3, -0.1, 0.2]]])
    near, far = (regress(regressor, vertices + offset) for offset in (0.0, 5.0))
    torch.testing.assert_close(far - 5.0, near, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ('{"levels": [431, 1723], "num_betas": 10}', "levels: saw"),
        ('{"levels": [6890], "num_betas": 10}', "levels: saw"),
        ('{"levels": [431], "num_betas": 0}', "num_betas: saw 0"),
        ('{"levels": [431]}', "--settings: saw levels"),
    ],
)
def test_settings_are_checked(shipped, tmp_path, capsys, settings, message):
    assert run(shipped, tmp_path / "out.npz", settings) == 1
    assert message in capsys.readouterr().err


def test_asset_files_are_checked(asset_file, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_assets(tmp_path / "none.npz")
    whole = asset_file.read_bytes()
    part = tmp_path / "part.npz"
    for length in (0, 1000, len(whole) - 100):
        part.write_bytes(whole[:length])
        with pytest.raises(InputError, match="damaged"):
            load_assets(part)
    np.savez(part, meta=np.array(json.dumps({"version": 99})))
    with pytest.raises(InputError, match="version: saw 99"):
        load_assets(part)
