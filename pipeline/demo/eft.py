"""Fits in the form of EFT: rotation matrices, and a camera for the crop of the entry's own box."""

import numpy as np
import torch

from pipeline.cameras import estimate_translation, translation_to_cam
from pipeline.demo.actors import in_camera
from pipeline.demo.portraits import Portrait, annotate
from pipeline.demo.stage import Stage
from pipeline.joints import JOINT_SETS, indices
from pipeline.rotations import axis_angle_to_matrix

FOCAL, CROP = 5000.0, 224
BOX_FACTOR = 1.2


def eft_entry(
    portrait: Portrait, stage: Stage, number: int, image_name: str, annotation: int = -1
) -> dict:
    """Return the entry of one person.

    Args:
        portrait: the photograph.
        stage: bodies and joints.
        number: of the person in the photograph.
        image_name: as the file of fits names the image.
        annotation: COCO's id of the annotation.
    """
    person, body = portrait.people[number], stage.bodies["neutral"]
    pixels, _ = annotate(portrait, stage, "spin24", number)
    center = (pixels.min(0) + pixels.max(0)) / 2
    side = BOX_FACTOR * np.ptp(pixels, axis=0).max()
    pose, _ = in_camera(body, person, portrait.camera)
    rotmats = axis_angle_to_matrix(torch.from_numpy(pose))
    joints = body.joints(person.betas, pose[None], np.zeros((1, 3)))[0]
    world = person.joints
    seen = portrait.camera.project(portrait.camera.to_camera(world))
    arrays = (joints[None], seen[None], np.ones((1, 24)), np.array([FOCAL * side / CROP]), center)
    transl = estimate_translation(*(torch.from_numpy(np.asarray(a, float)) for a in arrays))
    cam = translation_to_cam(transl, FOCAL, CROP)[0]
    keypoints = np.zeros((49, 3))
    keypoints[indices("spin49", JOINT_SETS["spin24"])] = np.column_stack([pixels, np.ones(24)])
    return {
        "parm_pose": np.round(rotmats.numpy(), 6).tolist(),
        "parm_shape": np.round(person.betas, 6).tolist(),
        "parm_cam": np.round(cam.numpy(), 6).tolist(),
        "bbox_scale": side / 200,
        "bbox_center": center.tolist(),
        "gt_keypoint_2d": np.round(keypoints, 3).tolist(),
        "joint_validity_openpose18": [1.0] * 18,
        "smpltype": "smpl",
        "annotId": annotation,
        "imageName": image_name,
    }
