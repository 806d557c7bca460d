"""People who move: a body, a motion and a place in the world.

Motions are made y up, facing +z; worlds are z up. A performance is what the data sets store:
SMPL parameters over time in world coordinates, feet on the floor.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.body.smpl import BodyModel, SMPLLayer
from pipeline.demo.canvas import Canvas
from pipeline.demo.choreography import wander
from pipeline.demo.motions import generate
from pipeline.rotations import axis_angle_to_matrix

GENDERS = ("neutral", "male", "female")
CLIP_SECONDS = 4.0  # short sequences are cut out of a motion of this length
BATCH = 16
TO_Z_UP = Rotation.from_euler("x", np.pi / 2)


class Body:
    """One gender's model as the demo needs it."""

    def __init__(self, model: BodyModel, contact_ids: np.ndarray, beards: float):
        self.model = model
        self._contact_ids, self._beards = contact_ids, beards
        self._pelvis = model.joint_template[0], model.joint_shapedirs[0]

    @cached_property
    def canvas(self) -> Canvas:
        """What clothes are cut for."""
        return Canvas(self.model, self._beards)

    @cached_property
    def _full(self) -> SMPLLayer:
        return SMPLLayer(self.model)

    @cached_property
    def _contact(self) -> SMPLLayer:
        return SMPLLayer(self.model, self._contact_ids)

    def pelvis(self, betas: np.ndarray) -> np.ndarray:
        """Return the root joint at rest, (3,): the point that SMPL turns about."""
        template, directions = self._pelvis
        return template + directions[:, : len(betas)] @ betas

    def lowest(self, betas: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """Return (N,) the height of the lowest point of poses (N, 24, 3), y up."""
        return _evaluate(self._contact, betas, pose)[0][..., 1].min(1).astype(np.float64)

    def shaped(self, betas: np.ndarray) -> np.ndarray:
        """Return the mesh at rest, (V, 3)."""
        return self.model.v_template + self.model.shapedirs[..., : len(betas)] @ betas

    def joints(self, betas: np.ndarray, pose: np.ndarray, transl: np.ndarray) -> np.ndarray:
        """Return the joints (N, 24, 3) of poses (N, 24, 3) at places (N, 3)."""
        return _evaluate(self._contact, betas, pose)[1] + transl[:, None]

    def mesh(self, betas: np.ndarray, pose: np.ndarray, transl: np.ndarray):
        """Return vertices (N, V, 3) and joints (N, 24, 3), float64, in the pose's frame."""
        vertices, joints = _evaluate(self._full, betas, pose)
        return vertices + transl[:, None], joints + transl[:, None]


def _evaluate(layer: SMPLLayer, betas: np.ndarray, pose: np.ndarray):
    """Run a layer in batches of a fixed size, so that results depend on nothing else."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(pose), BATCH):
            part = torch.from_numpy(np.array(pose[start : start + BATCH], np.float32))
            shape = torch.from_numpy(np.tile(np.float32(betas), (len(part), 1)))
            parts.append([x.numpy() for x in layer(shape, axis_angle_to_matrix(part))])
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


class Performance(NamedTuple):
    """SMPL parameters of one person over N frames, world frame, z up."""

    pose: np.ndarray
    """(N, 24, 3) axis-angle."""
    transl: np.ndarray
    """(N, 3) metres."""
    betas: np.ndarray
    """(10,)."""
    gender: str


class Direction(NamedTuple):
    """Where a person stands and how they face."""

    place: tuple[float, float] = (0.0, 0.0)
    """World x, y in metres at the middle of the sequence."""
    facing: float = 0.0
    """Radians from the direction of negative y, where the cameras are."""
    limit: float = np.pi
    """The largest angle from negative y that the person may turn to, radians."""


def draw_betas(rng: np.random.Generator) -> np.ndarray:
    """Return a body shape, (10,), without extremes."""
    return np.clip(rng.normal(size=10), -2.0, 2.0)


def perform(
    body: Body,
    motion_name: str,
    rng: np.random.Generator,
    frames: int,
    rate_hz: float,
    betas: np.ndarray,
    gender: str,
    direction: Direction,
) -> Performance:
    """Return a person's motion with the feet on the floor.

    Args:
        body: model of `gender`.
        motion_name: key of `motions.MOTIONS`.
        rng: all that varies.
        frames: number of frames.
        rate_hz: frames per second.
        betas: (10,) shape.
        gender: "neutral", "male" or "female".
        direction: place and heading.
    """
    total = max(frames, round(CLIP_SECONDS * rate_hz))
    start = rng.integers(total - frames + 1)
    keep = slice(start, start + frames)
    pose, lift, forward = generate(motion_name, rng, total, rate_hz, keep)
    height = lift - body.lowest(betas, pose)
    turn = 0.35 * wander(rng, total, rate_hz, period=2.5)[keep]
    heading = np.clip(direction.facing + turn, -direction.limit, direction.limit)
    to_world = Rotation.from_euler("z", heading[:, None]) * TO_Z_UP  # faces -y at heading zero
    pose[:, 0] = (to_world * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
    steps = np.diff(forward, prepend=forward[:1])
    path = np.cumsum(steps[:, None] * np.stack([np.sin(heading), -np.cos(heading)], 1), 0)
    path += np.array(direction.place) - path[frames // 2]
    pelvis = body.pelvis(betas)
    root = to_world.apply(pelvis + height[:, None] * [0, 1, 0])
    root[:, :2] += path
    return Performance(pose, root - pelvis, betas, gender)


def in_camera(body: Body, person, camera) -> tuple[np.ndarray, np.ndarray]:
    """Return the pose (24, 3) and transl (3,) of the camera frame.

    Args:
        body: model that the shape belongs to.
        person: has pose (24, 3), transl (3,) and betas (10,) in the world frame.
        camera: has R and t, X_cam = R X + t.
    """
    pose = person.pose.copy()
    pose[0] = (Rotation.from_matrix(camera.R) * Rotation.from_rotvec(pose[0])).as_rotvec()
    pelvis = body.pelvis(person.betas)  # SMPL turns about it, not about the origin
    return pose, camera.R @ (pelvis + person.transl) + camera.t - pelvis
