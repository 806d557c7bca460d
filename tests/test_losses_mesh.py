import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.body.topology import HIPS, J14_IN_H36M17, J14_IN_SPIN24, Topology
from pipeline.errors import InputError
from pipeline.losses import MeshGeometry, MeshTargets, mesh_losses, mesh_targets
from pipeline.losses.surface import edges_of, surface_losses

SIZES = (20, 6, 4)
LEVELS = [np.arange(20), np.array([0, 3, 5, 7, 11, 19]), np.array([0, 5, 7, 19])]
FACES = np.array([[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]])
PRESETS = ("paper", "metro", "fastmetro", "graphormer_l1")


@pytest.fixture
def geometry() -> MeshGeometry:
    """Twenty vertices, the first seventeen of which are the joints."""
    return MeshGeometry(
        Topology(
            part="body",
            joint_set="coco17",
            regressor=np.eye(17, 20),
            rows=J14_IN_H36M17,
            label_rows=J14_IN_SPIN24,
            centre=HIPS,
            has_mesh="has_smpl",
            keypoints=np.eye(17, 20),
            v_template=np.zeros((20, 3)),
            faces=FACES,
            levels=LEVELS,
            level_faces=[FACES, FACES, FACES[:1]],
            upsample=[],
            surface_level=6,
            cam=np.ones(3),
        )  # fmt: skip
    )


def perfect() -> tuple[dict, MeshTargets]:
    """An output and the labels that it meets; the pelvis (joint 0) is the origin."""
    full = torch.randn(2, 20, 3, generator=torch.Generator().manual_seed(0))
    full[:, 0] = 0
    joints = full[:, J14_IN_H36M17]
    cam = torch.tensor([[0.8, 0.1, -0.2], [1.1, 0.0, 0.3]])
    points = cam[:, None, :1] * (joints[..., :2] + cam[:, None, 1:])
    ones = torch.ones(2, 14, 1)
    output = {
        "joints": joints.clone(),
        "vertices": {size: full[:, LEVELS[k]] for k, size in enumerate(SIZES)},
        "cam": cam,
    }
    targets = MeshTargets(
        full.clone(),
        torch.ones(2, dtype=torch.bool),
        torch.cat([joints, ones], -1),
        torch.cat([points, ones], -1),
    )
    return output, targets


def scalars(losses: dict[str, Tensor]) -> dict[str, float]:
    return {name: value.item() for name, value in losses.items()}


@pytest.mark.parametrize("preset", PRESETS)
def test_perfect_prediction(preset: str, geometry: MeshGeometry) -> None:
    output, targets = perfect()
    found = scalars(mesh_losses(output, targets, {}, geometry, preset))
    terms = {"vertices", "joints", "regressed_joints", "projection"}
    surface = {"edge_gt", "edge_self", "normal"}
    assert found.keys() == (terms | surface if preset == "fastmetro" else terms)
    for name in found.keys() - {"edge_self", "normal", "projection"}:
        assert found[name] == pytest.approx(0, abs=1e-4)
    if preset != "fastmetro":  # which projects from the mid-hip
        assert found["projection"] == pytest.approx(0, abs=1e-4)


def test_vertex_levels(geometry: MeshGeometry) -> None:
    """Each level off by its own amount in x; L1 means over three coordinates."""
    output, targets = perfect()
    for size, error in zip(SIZES, (0.3, 0.6, 0.9), strict=True):
        output["vertices"][size] = output["vertices"][size] + torch.tensor([error, 0, 0])
    found = mesh_losses(output, targets, {}, geometry, "graphormer_l1")
    assert found["vertices"].item() == pytest.approx(100 * 0.33 * (0.1 + 0.2 + 0.3))
    found = mesh_losses(output, targets, {}, geometry, "metro")
    assert found["vertices"].item() == pytest.approx(100 * 0.33 * (0.1 + 0.2 + 0.3))
    found = mesh_losses(output, targets, {}, geometry, "paper")  # full mesh, norm sums x, y, z
    assert found["vertices"].item() == pytest.approx(0.3)
    found = mesh_losses(output, targets, {"level_weights": [0.5, 0.5]}, geometry)
    assert found["vertices"].item() == pytest.approx(100 * 0.5 * (0.1 + 0.3))


def test_too_many_level_weights_are_refused(geometry: MeshGeometry) -> None:
    output, targets = perfect()
    with pytest.raises(InputError, match="at most 3 numbers"):
        mesh_losses(output, targets, {"level_weights": [0.25] * 4}, geometry)


@pytest.mark.parametrize(("preset", "error"), [("metro", 0.04), ("graphormer_l1", 0.2)])
def test_token_joints(preset: str, error: float, geometry: MeshGeometry) -> None:
    """MSE or L1 of one wrist, after both mid-hips are moved to the origin."""
    output, targets = perfect()
    output["joints"] = output["joints"] + 5.0
    output["joints"][0, 6, 1] += 0.2
    found = mesh_losses(output, targets, {}, geometry, preset)
    assert found["joints"].item() == pytest.approx(1000 * error / (2 * 14 * 3), rel=1e-4)
    assert found["regressed_joints"].item() == pytest.approx(0, abs=1e-4)


def test_paper_sums_coordinates(geometry: MeshGeometry) -> None:
    output, targets = perfect()
    output["joints"][:, 6] += torch.tensor([0.1, 0.2, 0.3])
    found = scalars(mesh_losses(output, targets, {}, geometry, "paper"))
    assert found["joints"] == pytest.approx(0.6 / 14, rel=1e-5)
    scaled = output["cam"][:, 0].mean().item() * (0.1 + 0.2)
    assert found["projection"] == pytest.approx(scaled / 14, rel=1e-4)


def test_regressed_joints(geometry: MeshGeometry) -> None:
    """Vertex 3 is the right ankle, slot 0 of the fourteen."""
    output, targets = perfect()
    full = output["vertices"][20].clone()
    full[1, 3, 2] += 0.4
    output["vertices"][20] = full
    found = mesh_losses(output, targets, {}, geometry)
    expected = pytest.approx(1000 * 0.4 / (2 * 14 * 3), rel=1e-4)
    assert found["regressed_joints"].item() == expected


def test_projection_counts_tokens_and_regressed(geometry: MeshGeometry) -> None:
    output, targets = perfect()
    targets.keypoints_2d[0, 4, 0] += 0.1
    targets.keypoints_2d[0, 4, 2] = 0.5
    targets.keypoints_2d[1, 2] = torch.tensor([7.0, 7.0, 0.0])
    found = mesh_losses(output, targets, {}, geometry)
    assert found["projection"].item() == pytest.approx(100 * 2 * 0.05 / (2 * 14 * 2), rel=1e-4)
    found = mesh_losses(output, targets, {}, geometry, "paper")
    assert found["projection"].item() == pytest.approx(0.05 / (2 * 14), rel=1e-4)


def test_fastmetro_moves_predictions_to_their_own_root(geometry: MeshGeometry) -> None:
    output, targets = perfect()
    output["vertices"] = {size: v + 3.0 for size, v in output["vertices"].items()}
    found = scalars(mesh_losses(output, targets, {}, geometry, "fastmetro"))
    assert found["vertices"] == pytest.approx(0, abs=1e-3)
    assert mesh_losses(output, targets, {}, geometry)["vertices"] > 100


def test_labels_that_are_absent(geometry: MeshGeometry) -> None:
    output, targets = perfect()
    output["vertices"] = {size: v + 0.3 for size, v in output["vertices"].items()}
    targets.has_vertices[1] = False
    targets.vertices[1] = float("nan")
    targets.joints[1] = float("nan")
    targets.joints[1, :, 3] = 0
    for value in (output["joints"], *output["vertices"].values()):
        value.requires_grad_()
    found = mesh_losses(output, targets, {}, geometry, "fastmetro")
    assert found["edge_gt"].item() == pytest.approx(0, abs=1e-4)
    assert found["joints"].item() == pytest.approx(0, abs=1e-3)
    sum(found.values()).backward()
    assert output["vertices"][20].grad.isfinite().all()
    assert output["vertices"][6].grad[1].abs().max() == 0
    targets.has_vertices[:] = False
    found = mesh_losses(output, targets, {}, geometry, "graphormer_l1")
    assert found["vertices"].item() == 0


def test_targets_of_a_batch(geometry: MeshGeometry) -> None:
    vertices = torch.randn(2, 20, 3)
    batch = {
        "joints_3d": torch.randn(2, 24, 4),
        "keypoints_2d": torch.randn(2, 24, 3),
        "has_smpl": torch.tensor([1, 0]),
    }
    targets = mesh_targets(batch, vertices, geometry)
    torch.testing.assert_close(targets.vertices, vertices - vertices[:, :1])
    assert targets.has_vertices.tolist() == [True, False]
    assert J14_IN_SPIN24.tolist() == [*range(13), 18]
    assert J14_IN_H36M17.tolist() == [3, 2, 1, 4, 5, 6, 16, 15, 14, 11, 12, 13, 8, 10]
    assert torch.equal(targets.joints, batch["joints_3d"][:, J14_IN_SPIN24])
    assert torch.equal(targets.keypoints_2d, batch["keypoints_2d"][:, J14_IN_SPIN24])


def test_surface_terms() -> None:
    """A right triangle in the plane z = 0, predicted twice as large and lifted at one corner."""
    faces = torch.tensor([[0, 1, 2]])
    target = torch.tensor([[[0.0, 0, 0], [3, 0, 0], [0, 4, 0]]])
    edges = edges_of(faces)
    assert edges.tolist() == [[0, 1], [0, 2], [1, 2]]
    valid = torch.tensor([True])
    double = surface_losses(2 * target, target, edges, faces, valid)
    assert double["edge_gt"].item() == pytest.approx((3 + 4 + 5) / 3)
    assert double["edge_self"].item() == pytest.approx((6 + 8 + 10) / 3)
    assert double["normal"].item() == pytest.approx(0)
    lifted = target.clone()
    lifted[0, 1] = torch.tensor([0.0, 0, 3])  # the first edge now is the normal itself
    cosines = (1 + 0 + 3 / 5) / 3
    found = surface_losses(lifted, target, edges, faces, valid)
    assert found["normal"].item() == pytest.approx(cosines)


def test_edges_shared_by_faces_count_once() -> None:
    assert edges_of(torch.tensor([[0, 1, 2], [2, 1, 3]])).tolist() == [
        [0, 1], [0, 2], [1, 2], [1, 3], [2, 3],
    ]  # fmt: skip
