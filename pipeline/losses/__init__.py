"""Losses: pure functions that return named, weighted scalars whose sum is minimised.

A term without a single valid label is zero and keeps its place in the graph, so that the set of
names and of parameters with gradients does not depend on the batch.
"""

from pipeline.losses.iuv import iuv_losses
from pipeline.losses.mesh import MeshGeometry, MeshTargets, mesh_losses, mesh_targets
from pipeline.losses.parametric import parametric_losses
from pipeline.losses.pose2d import pose2d_loss

__all__ = [
    "MeshGeometry",
    "MeshTargets",
    "iuv_losses",
    "mesh_losses",
    "mesh_targets",
    "parametric_losses",
    "pose2d_loss",
]
