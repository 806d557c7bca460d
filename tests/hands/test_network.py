"""The mesh transformer of hands: its sizes, its queries, its loss."""

import numpy as np
import pytest
import torch

from pipeline.body.topology import topology
from pipeline.errors import InputError
from pipeline.joints import index
from pipeline.losses import MeshGeometry, MeshTargets, mesh_losses
from pipeline.models.build import build_network

HAND = {
    "kind": "mesh_transformer", "part": "hand", "image_size": 64, "vertices": 195, "joints": 21,
    "heatmap": {"size": 32, "patch": 8, "joint_set": "freihand21"}, "hidden": [16, 8],
    "token_dims": [19, 8], "layers": 1, "heads": 2, "feedforward": "2x", "mvm_max": 0.0,
}  # fmt: skip
TIPS = {"thumb4": 744, "index4": 320, "middle4": 443, "ring4": 555, "pinky4": 672}


@pytest.fixture(scope="module")
def part(hands):
    return topology(hands.assets, "hand")


@pytest.fixture(scope="module")
def network(hands):
    torch.manual_seed(0)
    return build_network(HAND, hands.assets).eval()


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_it_has_metros_numbers_of_queries_and_parameters(network):
    assert network.queries == 21 + 195 == 216
    assert count(network.upsampling) == 195 * 778 + 778 == 152_488
    assert count(network.camera) == (3 + 1) + (216 * 150 + 150) + (150 * 3 + 3)
    output = network(torch.rand(2, 21, 32, 32))
    assert output["joints"].shape == (2, 21, 3) and output["cam"].shape == (2, 3)
    assert {size: v.shape for size, v in output["vertices"].items()} == {
        195: (2, 195, 3), 778: (2, 778, 3)}  # fmt: skip
    predicted = network.predict(torch.rand(2, 21, 32, 32))
    assert predicted["vertices"].shape == (2, 778, 3)


def test_the_queries_are_the_hand_at_rest_from_the_wrist(network, part):
    joints, coarse = network.template[:21], network.template[21:]
    assert joints[index("freihand21", "wrist")].abs().max() < 1e-7
    rest = part.v_template * [1, -1, -1]
    wrist = part.regressor[0] @ rest
    for name, vertex in TIPS.items():
        expected = rest[vertex] - wrist
        np.testing.assert_allclose(joints[index("freihand21", name)], expected, atol=1e-5)
    np.testing.assert_allclose(coarse, rest[part.levels[1]] - wrist, atol=1e-5)
    reach = joints[index("freihand21", "middle4")].norm()
    assert 0.12 < reach < 0.25  # metres


def test_coarse_vertices_are_rows_of_the_full_mesh(part):
    assert [len(ids) for ids in part.levels] == [778, 195, 49]
    for ids in part.levels[1:]:
        assert len(set(ids.tolist())) == len(ids) and ids.max() < 778
    geometry = MeshGeometry(part)
    mesh = torch.randn(2, 778, 3)
    one_hot = torch.zeros(195, 778)
    one_hot[torch.arange(195), torch.as_tensor(part.levels[1]).long()] = 1
    assert torch.equal(geometry.level(mesh, 195), one_hot @ mesh)


def test_joints_are_the_protocols(part, hands):
    mesh = hands.evaluation.hand_vertices[:2].astype(np.float64)
    np.testing.assert_allclose(part.regressor @ mesh, hands.hand.joints(mesh), atol=1e-12)
    np.testing.assert_allclose(part.regressor.sum(1), 1, atol=1e-6)
    joints, root = MeshGeometry(part).joints(torch.from_numpy(mesh).float() + 5.0)
    np.testing.assert_allclose((joints - root)[:, 0], 0, atol=1e-6)
    expected = hands.hand.joints(mesh)
    np.testing.assert_allclose(joints - root, expected - expected[:, :1], atol=1e-4)


def test_metros_hand_loss_by_hand(part):
    """One vertex, one token joint and the camera are off; every number is worked out."""
    geometry = MeshGeometry(part)
    full = torch.as_tensor(part.v_template, dtype=torch.float32)[None]
    joints, root = geometry.joints(full)
    full, joints = full - root, joints - root
    vertex = next(v for v in part.levels[1].tolist() if not part.regressor[:, v].any())
    cam = torch.tensor([[4.0, 0.0, 0.0]])
    points = 4.0 * joints[..., :2]
    ones = torch.ones(1, 21, 1)
    targets = MeshTargets(
        full.clone(), torch.ones(1, dtype=torch.bool), torch.cat([joints, ones], -1),
        torch.cat([points, ones], -1),
    )  # fmt: skip
    predicted = full.clone()
    predicted[0, vertex, 0] += 0.06
    tokens = joints.clone()
    tokens[0, index("freihand21", "index4"), 2] += 0.03
    output = {
        "joints": tokens,
        "vertices": {195: geometry.level(predicted, 195), 778: predicted},
        "cam": cam + torch.tensor([[0.0, 0.05, 0.0]]),
    }
    found = mesh_losses(output, targets, {}, geometry, "metro_hand")
    assert found["vertices"].item() == pytest.approx(
        0.5 * 0.06 / (778 * 3) + 0.5 * 0.06 / (195 * 3), rel=1e-4
    )
    assert found["joints"].item() == pytest.approx(0.03**2 / (21 * 3), rel=1e-4)
    assert found["regressed_joints"].item() == pytest.approx(0, abs=1e-9)
    # both sets of joints are 4 x 0.05 to the side in x: the mean over x and y, twice
    assert found["projection"].item() == pytest.approx(2 * 0.2**2 / 2, rel=1e-4)


def test_joint_errors_are_taken_from_the_wrist(part):
    geometry = MeshGeometry(part)
    full = torch.as_tensor(part.v_template, dtype=torch.float32)[None]
    joints, root = geometry.joints(full)
    ones = torch.ones(1, 21, 1)
    targets = MeshTargets(
        full - root, torch.ones(1, dtype=torch.bool), torch.cat([joints - root, ones], -1),
        torch.zeros(1, 21, 3),
    )  # fmt: skip
    output = {
        "joints": joints - root + 0.7,
        "vertices": {195: geometry.level(full - root, 195), 778: full - root},
        "cam": torch.ones(1, 3),
    }
    assert mesh_losses(output, targets, {}, geometry, "metro_hand")["joints"] < 1e-9
    surface = mesh_losses(output, targets, {}, geometry, "fastmetro_hand")
    assert surface["edge_gt"] < 1e-4 and surface["edge_self"] == 0 and surface["normal"] > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints": 14}, "21 joint queries of a hand"),
        ({"vertices": 431}, "a level of the hand"),
        ({"heatmap": {"size": 32, "joint_set": "coco17"}}, "the joints of a hand"),
        ({"part": "body", "joints": 14}, "the joints of a body"),
        ({"part": "foot"}, "one of body, hand"),
    ],
)
def test_what_does_not_fit_is_refused(hands, change, message):
    with pytest.raises(InputError, match=message):
        build_network(HAND | change, hands.assets)
