import json

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.evaluation.keypoint_ap import average_precision, detections

SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000


@pytest.fixture
def truth(tmp_path):
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(100, 300, size=(4, 17, 2))
    path = tmp_path / "person_keypoints.json"
    path.write_text(json.dumps({
        "images": [{"id": k + 1, "width": 400, "height": 400} for k in range(4)],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {"id": k + 1, "image_id": k + 1, "category_id": 1, "iscrowd": 0, "area": 200.0**2,
             "bbox": [100, 100, 200, 200], "num_keypoints": 17,
             "keypoints": np.concatenate([points, np.full((17, 1), 2)], 1).ravel().tolist()}
            for k, points in enumerate(keypoints)],
    }))  # fmt: skip
    return path, keypoints


def test_exact_keypoints_score_a_hundred(truth):
    path, keypoints = truth
    out = average_precision(path, detections(keypoints, np.arange(1, 5)))
    assert out["ap"] == pytest.approx(100) and out["ap_l"] == pytest.approx(100)


def test_threshold_follows_the_definition_of_object_keypoint_similarity(truth):
    path, keypoints = truth
    # each joint is moved so that OKS = exp(-d^2 / (2 s^2 (2 sigma)^2)) is 0.725
    distance = np.sqrt(-2 * np.log(0.725)) * 200.0 * 2 * SIGMAS
    shifted = keypoints + np.stack([distance, np.zeros(17)], axis=-1)
    out = average_precision(path, detections(shifted, np.arange(1, 5)))
    assert out["ap50"] == pytest.approx(100)
    assert out["ap75"] == pytest.approx(0)
    assert out["ap"] == pytest.approx(50)  # thresholds .50 .55 .60 .65 .70 of ten


def test_swapped_left_and_right_costs_precision(truth):
    path, keypoints = truth
    swapped = keypoints[:, [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]]
    assert average_precision(path, detections(swapped, np.arange(1, 5)))["ap"] < 50


def test_images_without_annotation_are_refused(truth):
    path, keypoints = truth
    with pytest.raises(InputError, match="image_id: saw 99"):
        average_precision(path, detections(keypoints[:1], np.array([99])))
    with pytest.raises(InputError, match="results"):
        average_precision(path, [])


def test_a_size_that_no_person_has_gives_no_number(truth):
    path, keypoints = truth
    out = average_precision(path, detections(keypoints, np.arange(1, 5)))
    assert "ap_m" not in out and "ar_m" not in out  # all four are large
