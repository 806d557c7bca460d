"""Frames of videos: by number, in order, with damage reported in one line."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.convert import cutting
from pipeline.convert.cutting import Cut, Job, cut_all
from pipeline.convert.video import Video
from pipeline.errors import InputError

COUNT, SETTINGS = 12, {"size": 32, "margin": 1.0, "jpeg_quality": 95}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a video whose frame k is of grey 20 k, with a red square in the top left corner."""
    path = tmp_path_factory.mktemp("video") / "video.avi"
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48)
    )
    for number in range(COUNT):
        frame = np.full((48, 64, 3), 20 * number, np.uint8)
        frame[:16, :16] = (0, 0, 255)
        writer.write(frame)
    writer.release()
    return path


def grey(image: np.ndarray) -> int:
    """Return the number of a frame by its grey."""
    return round(float(image[24:, 32:].mean()) / 20)


def test_frames_come_by_number_from_zero(path: Path) -> None:
    video = Video(path)
    assert [grey(video.frame(number)) for number in (0, 1, 5, 11)] == [0, 1, 5, 11]


def test_the_same_frame_and_earlier_ones_come_again(path: Path) -> None:
    video = Video(path)
    assert [grey(video.frame(number)) for number in (7, 7, 3, 4, 0)] == [7, 7, 3, 4, 0]


def test_frames_are_rgb(path: Path) -> None:
    red = Video(path).frame(2)[2:14, 2:14].reshape(-1, 3).mean(0)
    assert red[0] > 200 and red[2] < 60


def test_a_frame_after_the_end_is_named(path: Path) -> None:
    with pytest.raises(InputError, match="saw 12 frames, expected frame 12"):
        Video(path).frame(12)


@pytest.mark.parametrize("content", [b"", b"no video", bytes(5000)])
def test_what_is_no_video_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "video.avi"
    path.write_bytes(content)
    with pytest.raises(InputError, match="video.avi: saw no video"):
        Video(path).frame(0)


def test_a_missing_video_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Video(tmp_path / "video.avi")


def test_jobs_of_one_video_go_to_one_process(path: Path, tmp_path: Path) -> None:
    """Two processes that shared a video would both decode it from its start."""
    other, image = tmp_path / "b.avi", tmp_path / "c.jpg"
    jobs = [Job(path, (32, 24), 32, None, k) for k in range(40)]
    jobs += [Job(other, (32, 24), 32, None, k) for k in range(2)]
    jobs += [Job(image, (32, 24), 32, None) for _ in range(40)]
    assert [len(chunk) for chunk in cutting._chunks(jobs)] == [40, 2, 32, 8]


def test_crops_are_of_the_frames_asked_for(path: Path) -> None:
    jobs = [Job(path, (32, 24), 32, (64, 48), number) for number in (1, 4, 9, 40)]
    cuts = list(cut_all(jobs, SETTINGS, 1))
    numbers = []
    for found in cuts[:3]:
        assert isinstance(found, Cut)
        image = cv2.imdecode(np.frombuffer(found.jpeg, "u1"), cv2.IMREAD_COLOR)
        numbers.append(round(float(image[20:, 20:].mean()) / 20))
    assert numbers == [1, 4, 9]
    assert cuts[3] == f"{path}: saw 12 frames, expected frame 40"
