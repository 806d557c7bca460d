"""The SMPL layer against smplx and against the equations written out."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from pipeline.body.official import PARENTS_MANO16, read_smpl
from pipeline.body.smpl import BodyModel, SMPLLayer
from pipeline.joints import parents_smpl24
from pipeline.rotations import axis_angle_to_matrix


def random_arrays(vertices, faces, parents, betas=10, seed=0):
    """The content of an SMPL file whose numbers are of the right size and mean nothing."""
    rng, joints = np.random.default_rng(seed), len(parents)
    weights = rng.random((vertices, joints)) ** 8
    regressor = rng.random((joints, vertices)) * (rng.random((joints, vertices)) < 20 / vertices)
    regressor[:, :joints] += np.eye(joints)
    return {
        "v_template": rng.normal(size=(vertices, 3)) * 0.3,
        "shapedirs": rng.normal(size=(vertices, 3, betas)) * 0.02,
        "posedirs": rng.normal(size=(vertices, 3, 9 * (joints - 1))) * 0.005,
        "J_regressor": sp.csc_matrix(regressor / regressor.sum(1, keepdims=True)),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.array([parents, range(joints)]).astype(np.uint32),
        "f": rng.integers(0, vertices, (faces, 3)).astype(np.uint32),
    }


def tiny_model(parents=parents_smpl24, **options):
    arrays = random_arrays(50, 20, parents, **options)
    return BodyModel(
        v_template=arrays["v_template"],
        shapedirs=arrays["shapedirs"],
        posedirs=arrays["posedirs"],
        J_regressor=arrays["J_regressor"].toarray(),
        lbs_weights=arrays["weights"],
        parents=np.array(parents),
        faces=arrays["f"].astype(np.int64),
    )


def random_pose(batch, joints=24, seed=0):
    generator = torch.Generator().manual_seed(seed)
    betas = torch.randn(batch, 10, generator=generator)
    rotmats = axis_angle_to_matrix(torch.randn(batch, joints, 3, generator=generator) * 0.6)
    return betas, rotmats


def skin_by_the_book(model, betas, rotmats):
    """SMPL for one body in float64, 4 x 4 matrices and loops."""
    joints = len(model.parents)
    shaped = model.v_template + model.shapedirs @ betas
    rest = model.J_regressor @ shaped
    posed = shaped + model.posedirs @ (rotmats[1:] - np.eye(3)).ravel()
    world = []
    for joint, parent in enumerate(model.parents):
        local = np.eye(4)
        local[:3, :3] = rotmats[joint]
        local[:3, 3] = rest[joint] - (rest[parent] if parent >= 0 else 0)
        world.append(local if parent < 0 else world[parent] @ local)
    world = np.array(world)
    motion = world.copy()
    motion[:, :3, 3] -= np.einsum("jab,jb->ja", world[:, :3, :3], rest)
    blended = np.einsum("vj,jab->vab", model.lbs_weights, motion)
    homogeneous = np.concatenate([posed, np.ones((len(posed), 1))], 1)
    assert joints == len(world)
    return np.einsum("vab,vb->va", blended, homogeneous)[:, :3], world[:, :3, 3]


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    path = tmp_path_factory.mktemp("smpl") / "SMPL_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps(random_arrays(6890, 13776, parents_smpl24), protocol=2))
    return path


@pytest.mark.filterwarnings("ignore")
def test_equals_smplx(official):
    smplx = pytest.importorskip("smplx")
    reference = smplx.SMPL(str(official))
    model = read_smpl(official, num_betas=10)
    betas, rotmats = random_pose(3)
    transl = torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    expected = reference(
        betas=betas,
        global_orient=rotmats[:, :1],
        body_pose=rotmats[:, 1:],
        transl=transl,
        pose2rot=False,
    )
    ids = np.random.default_rng(0).permutation(6890)[:431]
    vertices, joints = SMPLLayer(model)(betas, rotmats, transl)
    some, same_joints = SMPLLayer(model, ids)(betas, rotmats, transl)
    scale = expected.vertices.abs().max().item()  # rounding of float32 grows with the numbers
    close = {"atol": 1e-6 * max(1.0, scale), "rtol": 0}
    torch.testing.assert_close(vertices, expected.vertices, **close)
    torch.testing.assert_close(joints, expected.joints[:, :24], **close)
    torch.testing.assert_close(some, vertices[:, ids], **close)
    torch.testing.assert_close(same_joints, joints, **close)


@pytest.mark.parametrize("parents", [parents_smpl24, PARENTS_MANO16])
def test_equals_the_equations(parents):
    model = tiny_model(parents)
    layer = SMPLLayer(model).double()
    betas, rotmats = (tensor.double() for tensor in random_pose(2, len(parents)))
    vertices, joints = layer(betas, rotmats)
    for k in range(2):
        by_book = skin_by_the_book(model, betas[k].numpy(), rotmats[k].numpy())
        # The buffers went through float32.
        np.testing.assert_allclose(vertices[k], by_book[0], atol=1e-6)
        np.testing.assert_allclose(joints[k], by_book[1], atol=1e-6)
    torch.testing.assert_close(layer.joints(betas, rotmats), joints)


def test_rest_pose_is_the_shaped_template():
    model = tiny_model()
    betas, _ = random_pose(2)
    vertices, _ = SMPLLayer(model)(betas, torch.eye(3).expand(2, 24, 3, 3))
    shaped = model.v_template + np.einsum("vcn,bn->bvc", model.shapedirs, betas.numpy())
    np.testing.assert_allclose(vertices, shaped, atol=1e-6)


def test_root_rotation_turns_about_the_pelvis():
    layer = SMPLLayer(tiny_model())
    betas, rotmats = random_pose(1)
    turn = axis_angle_to_matrix(torch.tensor([0.3, 1.0, -0.4]))
    vertices, joints = layer(betas, rotmats)
    turned = rotmats.clone()
    turned[:, 0] = turn @ rotmats[:, 0]
    moved, moved_joints = layer(betas, turned)
    pelvis = joints[:, :1]
    torch.testing.assert_close(moved, (vertices - pelvis) @ turn.T + pelvis, atol=2e-6, rtol=0)
    torch.testing.assert_close(moved_joints[:, 0], joints[:, 0])


def test_models_without_pose_blend_shapes_skip_them():
    model = tiny_model()
    zeros = BodyModel(**{**vars(model), "posedirs": np.zeros_like(model.posedirs)})
    none = BodyModel(**{**vars(model), "posedirs": model.posedirs[:, :, :0]})
    betas, rotmats = random_pose(2)
    layers = SMPLLayer(zeros), SMPLLayer(none)
    assert not any(layer.pose_blend_shapes for layer in layers)
    assert layers[0].basis.shape == (10, 150)
    torch.testing.assert_close(layers[0](betas, rotmats), layers[1](betas, rotmats))


def test_fewer_betas_are_the_first_ones():
    layer = SMPLLayer(tiny_model())
    betas, rotmats = random_pose(2)
    short = torch.cat([betas[:, :4], torch.zeros(2, 6)], 1)
    torch.testing.assert_close(layer(betas[:, :4], rotmats), layer(short, rotmats))
    with pytest.raises(ValueError, match="11 betas"):
        layer(torch.zeros(2, 11), rotmats)
    with pytest.raises(ValueError, match="rotmats"):
        layer(betas, rotmats[:, :23])


def test_no_vertices_at_all():
    vertices, joints = SMPLLayer(tiny_model(), np.array([], dtype=int))(*random_pose(2))
    assert vertices.shape == (2, 0, 3)
    assert joints.shape == (2, 24, 3)


def test_saves_nothing_and_learns_nothing():
    layer = SMPLLayer(tiny_model())
    assert not layer.state_dict()
    assert not list(layer.parameters())


def test_autocast_changes_nothing():
    layer = SMPLLayer(tiny_model())
    betas, rotmats = random_pose(2)
    expected = layer(betas, rotmats)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        vertices, joints = layer(betas, rotmats)
        assert layer.joints(betas, rotmats).dtype == torch.float32
    assert vertices.dtype == torch.float32
    torch.testing.assert_close((vertices, joints), expected, atol=0, rtol=0)


def test_gradients_agree_with_differences():
    layer = SMPLLayer(tiny_model(), np.arange(3)).double()
    betas, rotmats = (tensor.double().requires_grad_() for tensor in random_pose(1))
    assert torch.autograd.gradcheck(lambda b, r: layer(b, r), (betas, rotmats))
