"""The mean hand."""

import numpy as np
import torch

from pipeline.body.hands import right_hand
from pipeline.cameras import project_weak
from pipeline.joints import index
from pipeline.models.build import build_network


def test_it_is_the_hand_of_zero_betas_in_the_mean_pose_from_the_wrist(assets, image):
    network = build_network({"kind": "mean_hand", "image_size": 64}, assets)
    assert not list(network.parameters())
    predicted = network.predict(image)
    hand = right_hand(assets.hand_models)
    betas = np.zeros((1, hand.model.shapedirs.shape[2]))
    vertices, joints = hand.pose(np.zeros((1, 3)), hand.mean[None], betas)
    wrist = joints[0, index("freihand21", "wrist")]
    assert predicted["vertices"].shape == (3, 778, 3)
    np.testing.assert_allclose(predicted["vertices"][2].numpy(), vertices[0] - wrist, atol=1e-6)


def test_its_camera_shows_it_in_the_middle_at_half_the_crops_size(assets, image):
    network = build_network({"kind": "mean_hand", "image_size": 64}, assets)
    predicted = network.predict(image)
    shown = project_weak(predicted["vertices"], predicted["cam"])
    low, high = shown.amin(1), shown.amax(1)
    torch.testing.assert_close(low, -high)
    torch.testing.assert_close((high - low).amax(1), torch.full((3,), 1.0))
