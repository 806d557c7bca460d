"""Resolved settings of a tiny run of each objective."""

TRAINING = {
    "steps": 3, "batch_size": 4, "optimizer": "adam", "lr": 0.001, "weight_decay": 0.0,
    "warmup": 0.0, "decay": "constant", "clip_norm": 5.0, "precision": "32", "channels_last": True,
    "compile": False, "accumulate": 1, "devices": 1, "strategy": "auto", "validate_every": 0,
    "selection": "last",
}  # fmt: skip
AUGMENTATION = {"flip": 0.5, "rotation_deg": 30, "rotation_zero": 0.6, "scale": 0.25, "gain": 0.4}
BACKBONE = {"depth": 18, "width": 0.125}
POSE_NETWORK = {"kind": "simple_baseline", "image_size": 64, "backbone": BACKBONE,
                "deconv": [16, 16], "joint_set": "coco17"}  # fmt: skip
SEGMENTATION = POSE_NETWORK | {"output": "silhouette"}
HMR = {"kind": "hmr", "image_size": 64, "backbone": BACKBONE, "hidden": 32, "dropout": 0.5,
       "iterations": 3, "supervise": "last"}  # fmt: skip
PYMAF = HMR | {"kind": "pymaf", "deconv": [16, 16, 16], "feature_dims": [8, 5], "feedback": "mesh",
               "pyramid": True, "grid_size": 5, "vertices": 108, "supervise": "all",
               "auxiliary": "iuv"}  # fmt: skip
TRANSFORMER = {
    "kind": "mesh_transformer", "image_size": 64, "hidden": [32, 16, 16],
    "heatmap": {"size": 64, "patch": 16, "joint_set": "coco17", "grid_projection": "linear"},
    "token_dims": [35, 16, 16], "layers": 1, "heads": 2, "feedforward": "2x", "dropout": 0.1,
    "vertices": 108, "joints": 14, "query": "template", "upsample": "fixed", "camera": "linear",
    "mvm_max": 0.3, "mask_value": 0.01,
}  # fmt: skip
MPT = {"kind": "mpt", "image_size": 64, "pose_network": POSE_NETWORK, "regressor": TRANSFORMER,
       "input": "pose_maps", "freeze_backbone": False}  # fmt: skip
PARAMETRIC_LOSS = {"preset": "official", "keypoints_2d": 300.0, "keypoints_3d": 300.0,
                   "pose": 60.0, "betas": 0.06, "camera": 1.0}  # fmt: skip
IUV_LOSS = {"iuv_index": 1.0, "iuv_annotation": 1.0, "iuv_uv": 0.5, "iuv_size": 16}
MESH_LOSS = {"preset": "graphormer_l1", "vertices": 100.0, "joints": 1000.0,
             "regressed_joints": 1000.0, "projection": 100.0,
             "level_weights": [0.33, 0.33, 0.33]}  # fmt: skip
CORRUPTION = {"sigma": 3.0, "convention": "mpt", "mhm_max": 0.3, "jitter": "isotropic",
              "jitter_px": 1.0, "noise_std": 0.05, "noise_probability": 0.5}  # fmt: skip


def image_run(objective: str, network: dict, loss: dict | None, **training: object) -> dict:
    """A run on the records named toy_train."""
    return {"objective": objective, "seed": 0, "network": network, "init": {},
            "data": {"mixture": {"toy_train": 1.0}}, "augmentation": AUGMENTATION, "loss": loss,
            "training": TRAINING | training}  # fmt: skip


def pretrain_run(network: dict = TRANSFORMER, **training: object) -> dict:
    """A run on pairs."""
    return {"objective": "mesh_pretrain", "seed": 0, "network": network, "init": {},
            "data": {"pairs": "default", "heading": "keep"}, "corruption": CORRUPTION,
            "loss": MESH_LOSS, "training": TRAINING | training}  # fmt: skip


RUNS = {
    "hmr": image_run("parametric", HMR, PARAMETRIC_LOSS),
    "pymaf": image_run("parametric", PYMAF, PARAMETRIC_LOSS | IUV_LOSS),
    "mpt": image_run("mesh_finetune", MPT, MESH_LOSS),
    "pose2d": image_run("pose2d", POSE_NETWORK, {"sigma": 2.0}),
    "mesh": pretrain_run(),
    "silhouette": image_run("silhouette", SEGMENTATION, None),
    "mesh_coordinates": pretrain_run(TRANSFORMER | {"input": "coordinates"}),
    "mesh_silhouettes": pretrain_run(TRANSFORMER | {"input": "silhouettes"})
    | {"corruption": CORRUPTION | {"mhm_max": 0.0, "jitter": "none"}},
    "mpt_frozen": image_run("mesh_finetune", MPT | {"freeze_backbone": True}, MESH_LOSS),
    "mpt_image_features": image_run("mesh_finetune", MPT | {"input": "image_features"}, MESH_LOSS),
    "mpt_coordinates": image_run("mesh_finetune", MPT | {"input": "coordinates"}, MESH_LOSS),
    "mpt_silhouettes": image_run(
        "mesh_finetune", MPT | {"input": "silhouettes", "pose_network": SEGMENTATION}, MESH_LOSS
    ),
}
NOT_VALIDATED = ("mesh_pretrain", "silhouette")  # objectives
MEAN_POSE = {"objective": "parametric", "seed": 0, "init": {}, "training": {"steps": 0},
             "network": {"kind": "mean_pose", "image_size": 64}}  # fmt: skip
