"""Errors of 3D joints and meshes under a protocol, one value per sample and metric."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pipeline import metrics
from pipeline.body.assets import BodyAssets
from pipeline.body.joints_from_body import JointsFromBody
from pipeline.body.smpl import SMPLLayer
from pipeline.errors import InputError
from pipeline.evaluation.predictions import Measured, Task
from pipeline.evaluation.protocols import Protocol
from pipeline.joints import convert, index, mapping
from pipeline.record_schema import GENDERS


def regress_centred(regressor: Tensor, vertices: Tensor) -> tuple[Tensor, Tensor]:
    """Joints of a mesh and the mesh itself, both minus the regressed pelvis.

    The published regressors' rows sum to 0.9996-1.0001, so that a mesh metres away from the origin
    would shift its joints: the mesh is centred before, and once more after regressing.

    Args:
        regressor: (17, V), pelvis first.
        vertices: (B, V, 3) metres, any frame.

    Returns:
        joints (B, 17, 3) and vertices (B, V, 3), with the pelvis at the origin.
    """
    vertices = vertices - vertices.mean(dim=1, keepdim=True)
    joints = regressor @ vertices  # (B, 17, 3)
    pelvis = joints[:, :1]
    return joints - pelvis, vertices - pelvis


def select_rows(
    protocol: Protocol, cameras: np.ndarray | None, count: int, frames: np.ndarray | None = None
) -> np.ndarray:
    """Row numbers of the records that the protocol evaluates.

    Raises:
        InputError: if the records are of other frames than the protocol's, or if it asks for one
            camera and no record is of it.
    """
    if protocol.frame_step and frames is not None and (frames % protocol.frame_step).any():
        off = int(frames[frames % protocol.frame_step > 0][0])
        expected = f"multiples of {protocol.frame_step}, as {protocol.frames} says"
        raise InputError(protocol.name, "frame", off, expected)
    if protocol.camera is None:
        return np.arange(count)
    found = [] if cameras is None else cameras.tolist()
    rows = np.flatnonzero(np.array([str(c) == protocol.camera for c in found], dtype=bool))
    if not len(rows):
        raise InputError(
            protocol.name, "camera", ", ".join(sorted(set(map(str, found)))) or "no camera ids",
            protocol.camera,
        )  # fmt: skip
    return rows


class Evaluator:
    """Compares predictions with the ground truth of one set of records under one protocol."""

    def __init__(self, protocol: Protocol, assets: BodyAssets, device: torch.device | str = "cpu"):
        self.protocol = protocol
        self.device = torch.device(device)
        self.layers = {
            gender: SMPLLayer(model).to(self.device) for gender, model in assets.models.items()
        }
        self.regressor = torch.as_tensor(
            assets.J_regressor_h36m, dtype=torch.float32, device=self.device
        )
        self.columns = torch.as_tensor(mapping("h36m17", protocol.joint_set), device=self.device)
        self.other = None
        if protocol.gt_joints == "spin24":
            self.other = JointsFromBody(assets, protocol.joint_set).to(self.device)
        self.hips = [index(protocol.joint_set, n) for n in ("r_hip", "l_hip")]

    def errors(self, prediction: dict[str, Tensor], batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Errors of one batch, in metres.

        Args:
            prediction: `predict` of a network: vertices (B, 6890, 3), and rotmats, betas if the
                network regresses body parameters.
            batch: rotmats, betas, gender and, for annotated joints, joints_annotated (B, 17, 4).

        Returns:
            one (B,) tensor for each metric of the protocol.
        """
        vertices = self._predicted_vertices(prediction)
        joints, centred = regress_centred(self.regressor, vertices)
        joints = joints[:, self.columns]
        gt_joints, gt_vertices, gt_centred, valid = self._ground_truth(batch)
        if self.protocol.root == "mid_hip":
            joints = joints - joints[:, self.hips].mean(dim=1, keepdim=True)
            gt_joints = gt_joints - gt_joints[:, self.hips].mean(dim=1, keepdim=True)
        out = {}
        if "mpjpe" in self.protocol.metrics:
            out["mpjpe"] = metrics.mpjpe(joints, gt_joints, valid)
        if "pa_mpjpe" in self.protocol.metrics:
            out["pa_mpjpe"] = metrics.pa_mpjpe(joints, gt_joints, valid)
        if "pve" in self.protocol.metrics:
            in_model_frame = self.protocol.pve_root == "none"
            pair = (vertices, gt_vertices) if in_model_frame else (centred, gt_centred)
            out["pve"] = metrics.pve(*pair)
        return out

    def _predicted_vertices(self, prediction: dict[str, Tensor]) -> Tensor:
        if "rotmats" in prediction:  # posed anew, so that the mesh sits in the model's own frame
            return self.layers["neutral"](prediction["betas"], prediction["rotmats"])[0]
        if self.protocol.pve_root == "none" and "pve" in self.protocol.metrics:
            raise InputError(
                self.protocol.name, "pve_root", "a network that predicts vertices only",
                "one that predicts body parameters, or a protocol that centres both meshes",
            )  # fmt: skip
        return prediction["vertices"].to(self.device).float()

    def _ground_truth(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        betas, rotmats = batch["betas"].to(self.device), batch["rotmats"].to(self.device)
        vertices = torch.zeros(len(betas), self.regressor.shape[1], 3, device=self.device)
        tree = torch.zeros(len(betas), 24, 3, device=self.device)
        genders = batch["gender"].tolist()
        if self.protocol.gt_gender == "neutral":
            genders = [0] * len(genders)
        for gender in set(genders):
            rows = torch.tensor([k for k, g in enumerate(genders) if g == gender])
            layer = self._layer(GENDERS[gender])
            vertices[rows], tree[rows] = layer(betas[rows], rotmats[rows])
        joints, centred = regress_centred(self.regressor, vertices)
        joints = joints[:, self.columns]
        if self.other is not None:
            joints = self.other(tree, vertices)
        valid = torch.ones(joints.shape[:2], device=self.device)
        if self.protocol.gt_joints == "annotated":
            annotated = batch["joints_annotated"].to(self.device)
            annotated_xyz = annotated[..., :3] - annotated[:, :1, :3]  # row 0 is the pelvis
            joints = annotated_xyz[:, self.columns]
            valid = annotated[:, self.columns, 3]
        return joints, vertices, centred, valid

    def _layer(self, gender: str) -> SMPLLayer:
        if gender not in self.layers:
            raise InputError(
                "body models", gender, "no such model", f"SMPL_{gender.upper()}.pkl for "
                f"{self.protocol.name}, whose ground truth is posed with each subject's own model",
            )  # fmt: skip
        return self.layers[gender]


def annotated_h36m(
    joints_3d: np.ndarray | None, joint_set: str | None, root: str = "pelvis"
) -> np.ndarray:
    """Rows of `joints_3d` (N, J, 4) in the order of the Human3.6M 17 joints, pelvis first.

    Under a protocol whose root is the middle of the hips, this stands in for a missing pelvis;
    as a joint it does not count.

    Raises:
        InputError: if there are none, or they lack the pelvis, which other protocols centre on.
    """
    if joints_3d is None:
        raise InputError("records", "joints_3d", "none", "the dataset's own 3D joints")
    joints, pelvis = convert(joints_3d, joint_set, "h36m17"), index("h36m17", "pelvis")
    if mapping(joint_set, "h36m17")[pelvis] < 0:
        if root != "mid_hip":
            saw = f"joint set {joint_set}"
            raise InputError("records", "joints_3d", saw, "a set with a pelvis")
        hips = [index("h36m17", name) for name in ("r_hip", "l_hip")]
        joints[:, pelvis, :3] = joints[:, hips, :3].mean(axis=1)
    return joints


@torch.no_grad()
def measure(task: Task) -> Measured:
    """Errors of the network on every record that the protocol selects.

    Returns:
        errors in millimetres, in the order of the records.
    """
    evaluator = Evaluator(task.protocol, task.assets, task.device)
    rows, results = [], []
    for piece, batch in labelled(task):
        rows.append(piece)
        results.append(evaluator.errors(task.network.predict(batch["image"]), batch))
    return Measured(np.concatenate(rows), in_millimetres(results))


def labelled(task: Task) -> Iterator[tuple[np.ndarray, dict[str, Tensor]]]:
    """Record numbers and batches of images with their ground truth, see `Evaluator.errors`.

    The images are where the network is, which is in evaluation mode meanwhile.
    """
    protocol, records = task.protocol, task.records
    rows = select_rows(protocol, records.camera, len(records), records.frame)
    annotated = None
    if protocol.gt_joints == "annotated":
        annotated = annotated_h36m(records.joints_3d, records.joint_set, protocol.root)
    for piece, items, image in task.batches(rows):
        batch = {k: torch.as_tensor(np.stack([item[k] for item in items]))
                 for k in ("rotmats", "betas", "gender")}  # fmt: skip
        if annotated is not None:
            batch["joints_annotated"] = torch.from_numpy(annotated[piece]).float()
        yield piece, {**batch, "image": image}


def in_millimetres(results: list[dict[str, Tensor]]) -> dict[str, np.ndarray]:
    """Errors of all batches, each metric's in one array."""
    return {metric: 1000 * torch.cat([r[metric] for r in results]).double().cpu().numpy()
            for metric in results[0]}  # fmt: skip
