"""Labels that the objectives make: meshes, joints, cameras, and the mirrored atlas."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.body.assets import GENDERS
from pipeline.body.smpl import SMPLLayer
from pipeline.body.topology import J14, J14_IN_SPIN24
from pipeline.cameras import ndc_to_pixels, project_weak
from pipeline.data.dataset import RecordsDataset
from pipeline.data.mixture import collate
from pipeline.errors import InputError
from pipeline.joints import indices
from pipeline.losses.silhouette import silhouette_loss
from pipeline.models.build import build_network
from pipeline.models.parametric import Estimate
from pipeline.objectives.atlas import atlas_flip
from pipeline.objectives.build import build_objective
from pipeline.objectives.ground_truth import BodyTruth
from pipeline.objectives.images import plain_batches
from pipeline.objectives.mesh_pretrain import fit_weak_camera
from pipeline.objectives.parametric import build as build_parametric
from pipeline.objectives.parametric import fitted_cameras
from pipeline.objectives.sources import Sources
from pipeline.pieces import label_shares, split
from pipeline.synthesis.corruption import corrupt
from pipeline.synthesis.heatmaps import heatmaps
from tests.objectives.settings import CORRUPTION, RUNS

LABELLED = 6  # of the eight records


@pytest.fixture(scope="module")
def batch(files):
    dataset = RecordsDataset(files.train, None, {"image_size": 64}, train=False)
    return next(plain_batches(dataset, 8))


@pytest.fixture(scope="module")
def finetune(files):
    sources = Sources(records={"toy_train": files.train})
    return build_objective(RUNS["mpt"], files.body, sources)


def test_each_label_is_posed_with_its_own_model(files, batch):
    vertices = BodyTruth(files.assets).vertices(batch)
    for row in range(LABELLED):
        layer = SMPLLayer(files.assets.models[GENDERS[row % 3]])
        expected = layer(batch["betas"][[row]], batch["rotmats"][[row]])[0][0]
        torch.testing.assert_close(vertices[row], expected, atol=1e-5, rtol=0)
    assert (vertices[LABELLED:] == 0).all()


def test_a_missing_model_is_named(files, batch):
    truth = BodyTruth(files.assets)
    del truth.layers["female"]
    with pytest.raises(InputError, match="SMPL_FEMALE.pkl"):
        truth.vertices(batch)


def test_mesh_targets_follow_the_image(files, batch, finetune):
    targets = finetune.targets(batch)
    assert targets.has_vertices.tolist() == [True] * LABELLED + [False] * 2
    assert (targets.joints[:LABELLED, :, 3] == 1).all()
    labelled = batch["joints_3d"][LABELLED:, J14_IN_SPIN24]
    assert torch.equal(targets.joints[LABELLED:], labelled)
    # mesh, regressed joints and projected annotations are one person: limbs fall on the 2D labels
    limbs = slice(0, 12)
    seen = targets.keypoints_2d[:LABELLED, limbs, :2]
    joints = targets.joints[:LABELLED, limbs, :3]
    for row in range(LABELLED):
        flat = torch.cat([joints[row, :, :2], torch.ones(12, 1)], -1)
        fit = torch.linalg.lstsq(flat, seen[row]).solution
        assert (flat @ fit - seen[row]).norm(dim=-1).mean() < 0.08
    assert (targets.vertices[:LABELLED].abs().amax((1, 2)) < 1.5).all()


def test_cameras_are_fitted_to_the_labelled_bodies(files, batch):
    network = build_network(RUNS["hmr"]["network"], files.assets)
    cam = torch.tensor([[0.9, 0.1, -0.2]]).repeat(8, 1) * torch.linspace(0.5, 1.5, 8)[:, None]
    pose = batch["rotmats"][..., :2].flatten(1)
    points = batch["keypoints_2d"].clone()
    points[..., :2] = network.body(Estimate(pose, batch["betas"], cam))["keypoints_2d"]
    points[..., 2] = 1
    points[:, 7] = torch.tensor([5.0, 5.0, 0.0])  # not labelled: does not pull
    points[1, 1:, 2] = 0  # one joint is not enough
    found = fitted_cameras(network.body, batch | {"keypoints_2d": points})
    good = [0, *range(2, LABELLED)]
    assert found["has_cam"].nonzero()[:, 0].tolist() == good
    torch.testing.assert_close(found["cam"][good], cam[good], atol=1e-4, rtol=0)
    assert (found["cam"][~found["has_cam"]] == 0).all()


def test_samples_without_labels_of_any_kind_give_finite_losses(finetune, batch):
    empty = {k: torch.zeros_like(v) for k, v in batch.items()} | {"image": batch["image"]}
    terms = finetune.losses(finetune.network, empty, 0)
    assert all(torch.isfinite(term) for term in terms.values())
    assert sum(terms.values()) == 0


@pytest.mark.parametrize("name", RUNS)
def test_steps_on_one_batch_lower_the_loss(files, name):
    sources = Sources({"toy_train": files.train}, {"toy_train": files.iuv}, pairs=files.pairs)
    objective = build_objective(RUNS[name], files.body, sources)
    network = objective.network.train()
    batch = objective.batch(0, slice(None))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    seen = []
    for _ in range(12):
        torch.manual_seed(0)
        terms = objective.losses(network, batch, 0)
        optimizer.zero_grad()
        loss = sum(terms.values())
        loss.backward()
        optimizer.step()
        seen.append(loss.item())
    assert seen[-1] < 0.9 * seen[0], seen


READINGS = {
    "pymaf, paper": {"preset": "paper", "camera_term": "supervised"},
    "pymaf, labelled": {"mean_2d": "labelled", "uv_mean": "labelled", "parameters": "norm"},
}


@pytest.mark.parametrize("name", [*RUNS, *READINGS])
def test_pieces_add_up_to_the_whole_batch(files, name):
    """Label shares undo that each piece averages over its own labels only."""
    sources = Sources({"toy_train": files.train}, {"toy_train": files.iuv}, pairs=files.pairs)
    settings = RUNS[name.partition(",")[0]]
    settings = {**settings, "training": settings["training"] | {"batch_size": 8}}
    if name in READINGS:
        settings["loss"] = settings["loss"] | READINGS[name]
    objective = build_objective(settings, files.body, sources)
    # The auxiliary head and masking are of training mode, in which nothing else may be random.
    network = objective.network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.Dropout):
            module.eval()
    if name.startswith(("mesh", "mpt")):
        network.eval()
    if name.startswith("mesh"):
        options = {"jitter": "none", "mhm_max": 0.0, "noise_probability": 0.0}
        objective.settings = {**settings, "corruption": CORRUPTION | options}
    batch = objective.batch(0, slice(None))
    whole = objective.losses(network, batch, 0)
    parts = split(batch, 4)
    shares = label_shares(objective.label_counts, parts, SimpleNamespace(world_size=1))
    pieces = [objective.losses(network, part, 0) for part in parts]
    for term, value in whole.items():
        scaled = [piece[term] * share.get(term, 1.0)
                  for piece, share in zip(pieces, shares, strict=True)]  # fmt: skip
        torch.testing.assert_close(sum(scaled) / 4, value, rtol=1e-4, atol=1e-5)


def test_batches_are_pure_and_rows_are_slices(files):
    sources = Sources(records={"toy_train": files.train}, iuv={"toy_train": files.iuv})
    objective = build_objective(RUNS["pymaf"], files.body, sources)
    whole = objective.batch(5, slice(None))
    again = objective.batch(5, slice(2, 4))
    assert {"image", "part", "uv", "has_iuv", "keypoints_2d"} <= whole.keys()
    for key, value in whole.items():
        assert torch.equal(value[2:4], again[key]), key


def test_iuv_is_read_only_for_an_auxiliary_head(files):
    settings = RUNS["hmr"]
    network = build_network(settings["network"], files.assets)
    objective = build_parametric(
        settings, network, files.assets, Sources({"toy_train": files.train})
    )
    assert "part" not in objective.batch(0, slice(None))


@pytest.fixture(scope="module")
def pretrain(files):
    return build_objective(RUNS["mesh"], files.body, Sources(pairs=files.pairs))


def test_pretraining_targets_are_what_the_keypoints_show(pretrain):
    batch = pretrain.batch(0, slice(None))
    targets = pretrain.targets(batch)
    limbs = ("l_knee", "r_knee", "l_wrist", "r_wrist")
    seen = batch["keypoints"][:, indices("coco17", limbs)]
    rows = [J14.index(name) for name in limbs]
    assert (targets.keypoints_2d[:, rows, :2] - seen).norm(dim=-1).max() < 0.15
    assert targets.has_vertices.all() and (targets.joints[..., 3] == 1).all()


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_fused_tokens_are_those_of_the_dense_heatmaps(files, noise):
    options = CORRUPTION | {"noise_probability": noise, "noise_std": 0.0}
    settings = {**RUNS["mesh"], "corruption": options}
    pretrain = build_objective(settings, files.body, Sources(pairs=files.pairs))
    batch, network = pretrain.batch(0, slice(None)), pretrain.network.eval()
    make = pretrain.evidence(batch, torch.Generator().manual_seed(0))
    joints = ndc_to_pixels(batch["keypoints"], 64)
    corrupted = corrupt(joints, options, torch.Generator().manual_seed(0))
    maps = heatmaps(corrupted.keypoints, corrupted.amplitude, 64, 3.0, "mpt")
    fused, dense = network(make), network(maps)
    torch.testing.assert_close(fused["joints"], dense["joints"], atol=1e-5, rtol=1e-4)


def test_outlines_hold_the_joints_and_little_else(files):
    """Also of mirrored and turned bodies; and noise is in the samples that have any."""
    settings = RUNS["mesh_silhouettes"]
    clean = settings | {"corruption": settings["corruption"] | {"noise_probability": 0.0}}
    for run in (clean, settings):
        objective = build_objective(run, files.body, Sources(pairs=files.pairs))
        batch = objective.batch(1, slice(None))
        generator = torch.Generator().manual_seed(0)
        found = objective.outlines(batch, objective.targets(batch), generator)
        if run is clean:
            outlines = found
    size = run["network"]["heatmap"]["size"]
    assert found.shape == (len(batch["betas"]), 1, size, size)
    assert set(outlines.unique().tolist()) == {0.0, 1.0}
    assert (outlines.mean((1, 2, 3)) > 0.05).all() and (outlines.mean((1, 2, 3)) < 0.5).all()
    limbs = indices("coco17", ("l_knee", "r_knee", "l_shoulder", "r_shoulder", "l_elbow"))
    cells = ndc_to_pixels(batch["keypoints"][:, limbs], size).long()
    inside = ((cells >= 0) & (cells < size)).all(-1)
    column, row = cells.clamp(0, size - 1).unbind(-1)
    covered = outlines[torch.arange(len(cells))[:, None], 0, row, column] > 0
    assert covered[inside].float().mean() > 0.9
    noisy = (found != outlines).flatten(1).any(1)
    assert noisy.any() and not noisy.all()


@pytest.mark.parametrize("change", [{"mhm_max": 0.3}, {"jitter": "isotropic"}])
def test_silhouettes_have_no_joints_to_mask_or_move(files, change):
    settings = RUNS["mesh_silhouettes"]
    settings = settings | {"corruption": settings["corruption"] | change}
    with pytest.raises(InputError, match=next(iter(change))):
        build_objective(settings, files.body, Sources(pairs=files.pairs))


def test_segmentation_learns_from_labelled_samples_alone(files):
    sources = Sources({"toy_train": files.train}, {"toy_train": files.iuv})
    objective = build_objective(RUNS["silhouette"], files.body, sources)
    batch = objective.batch(0, slice(None))
    assert batch["part"].shape[1:] == (8, 8)  # of the network's map
    labelled = batch["has_iuv"]
    right = (batch["part"] > 0).float()[:, None]
    wrong = torch.where(labelled[:, None, None, None], right, 1 - right)
    assert silhouette_loss({"maps": [wrong]}, batch["part"], labelled)["mask"] == 0
    (term,) = silhouette_loss({"maps": [1 - right]}, batch["part"], labelled).values()
    assert float(term) == pytest.approx(0.5 * labelled.float().mean())


def test_initial_weights_depend_on_the_seed_alone(files):
    sources = Sources(records={"toy_train": files.train})
    states = [build_objective(RUNS["hmr"] | {"seed": seed}, files.body, sources)
              .network.state_dict() for seed in (0, 0, 1)]  # fmt: skip
    key = "backbone.conv1.weight"
    assert torch.equal(states[0][key], states[1][key])
    assert not torch.equal(states[0][key], states[2][key])


def test_the_open_atlas_mirrors_onto_itself(files):
    swap, mirror_u = atlas_flip(files.assets)
    assert (swap[swap] == np.arange(25)).all() and mirror_u[1] and not mirror_u[3]


def test_an_atlas_that_does_not_mirror_has_no_table(files):
    atlas = {"part": files.assets.atlas["part"], "uv": files.assets.atlas["uv"] ** 2}
    assert atlas_flip(type(files.assets)(**{**vars(files.assets), "atlas": atlas})) is None


def test_plain_batches_cover_all_records(files):
    dataset = RecordsDataset(files.train, None, {"image_size": 64}, train=False)
    pieces = [piece["index"] for piece in plain_batches(dataset, 3)]
    assert torch.cat(pieces).tolist() == list(range(8))
    assert collate([dataset.item(0, None)])["image"].shape == (1, 3, 64, 64)


def test_weak_camera_is_recovered():
    points = torch.randn(4, 17, 3, generator=torch.Generator().manual_seed(0))
    cam = torch.tensor([[0.9, 0.1, -0.2]]).repeat(4, 1) * torch.arange(1, 5)[:, None]
    found = fit_weak_camera(points, project_weak(points, cam))
    torch.testing.assert_close(found, cam)
