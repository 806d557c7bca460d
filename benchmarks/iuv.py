"""Speed of the compiled z-buffer against OpenGL (pyrender), and how well they agree.

    python -m benchmarks.iuv --body data/body/smpl.npz [--meshes 40] [--rounds 5]

Each round times both engines on the same meshes, one after the other; the ratio's least and
median are over the rounds of this run. GL keeps one renderer and sends new vertex positions only,
which is the fastest way to use pyrender; it may run on a GPU, the z-buffer on one CPU core.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from pipeline.body.assets import BodyAssets, load_assets
from pipeline.body.smpl import SMPLLayer
from pipeline.demo.kinematics import random_stance, to_pose
from pipeline.rendering.gl import why_unavailable
from pipeline.rendering.iuv import Atlas, render_iuv
from pipeline.rotations import axis_angle_to_matrix

SIZES = (56, 224)
FOCAL_PER_SIZE = 5000 / 224  # as in PyMAF
FILL = 0.85  # share of the picture that a body takes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--body", type=Path, required=True, help="output of the verb `body`")
    parser.add_argument("--meshes", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    assets = load_assets(args.body)
    atlas, meshes = Atlas.from_assets(assets), bodies(assets, args.meshes)
    missing = why_unavailable()
    if missing:
        print(f"pyrender cannot start ({missing}); the z-buffer alone")
    print("size   z-buffer ms    pyrender ms    ratio         same part pixels")
    for size in SIZES:
        print(line(size, meshes, atlas, args.rounds, with_gl=not missing))


def bodies(assets: BodyAssets, count: int) -> np.ndarray:
    """Return (count, V, 3) posed bodies in front of a camera with PyMAF's focal length."""
    rng = np.random.default_rng(0)
    stances = [random_stance(rng, 0.3, 0.3) for _ in range(count)]
    pose = to_pose({joint: np.stack([s[joint] for s in stances]) for joint in stances[0]})
    turn = rng.uniform(-np.pi, np.pi, count)  # about the vertical, then y up becomes y down
    pose[:, 0] = np.pi * np.stack([np.cos(turn / 2), 0 * turn, np.sin(turn / 2)], 1)
    betas = torch.from_numpy(rng.normal(size=(count, 10)).astype(np.float32))
    with torch.no_grad():
        rotmats = axis_angle_to_matrix(torch.from_numpy(pose.astype(np.float32)))
        vertices = SMPLLayer(assets.models["neutral"])(betas, rotmats)[0].numpy()
    low, high = vertices.min(1, keepdims=True), vertices.max(1, keepdims=True)
    vertices = vertices - (low + high) / 2
    vertices[..., 2] += FOCAL_PER_SIZE * (high - low).max(2) / FILL
    return vertices


def line(size: int, meshes: np.ndarray, atlas: Atlas, rounds: int, with_gl: bool) -> str:
    focal = FOCAL_PER_SIZE * size
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    engines = ["zbuffer", "pyrender"] if with_gl else ["zbuffer"]
    calls = [lambda mesh, e=engine: render_iuv(mesh, K, size, atlas, e) for engine in engines]
    for call in calls:
        call(meshes[0])  # compiles, opens the context
    times = np.array([[timed(call, meshes) for call in calls] for _ in range(rounds)])
    cells = "".join(f"{t.min():6.3f} /{statistics.median(t):6.3f}  " for t in times.T)
    if not with_gl:
        return f"{size:4d}  {cells}"
    ratio = times[:, 1] / times[:, 0]
    same = np.mean([(calls[0](mesh)[0] == calls[1](mesh)[0]).mean() for mesh in meshes])
    return f"{size:4d}  {cells}{ratio.min():5.1f} /{statistics.median(ratio):5.1f}  {same:.5f}"


def timed(call: Callable[[np.ndarray], object], meshes: np.ndarray) -> float:
    """Return milliseconds per mesh."""
    start = time.perf_counter()
    for mesh in meshes:
        call(mesh)
    return (time.perf_counter() - start) / len(meshes) * 1000


if __name__ == "__main__":
    main()
