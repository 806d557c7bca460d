"""Frames of a video by number, decoded one after the other.

Seeking is left to nobody: with most codecs it lands on another frame than the one asked for.
"""

import os
from pathlib import Path

import cv2
import numpy as np

from pipeline.errors import InputError

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # damage is reported below, in one line


class Video:
    """A video whose frames are asked for in rising order (any other order starts again)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open()

    def frame(self, number: int) -> np.ndarray:
        """Return a frame as (h, w, 3) RGB uint8, numbered from 0.

        Raises:
            InputError: if the file is missing, damaged, or ends before.
        """
        if number < self._next - 1:
            self._open()
        while self._next <= number:
            if not self._capture.grab():
                saw = f"{self._next} frames" if self._next else "no video, or a damaged one"
                raise InputError(self.path, "", saw, f"frame {number}")
            self._next += 1
        found, image = self._capture.retrieve()
        if not found:
            raise InputError(self.path, "", f"a damaged frame {number}", "an image")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def _open(self) -> None:
        if not self.path.is_file():
            raise InputError(self.path, "", "no such file", "a video")
        self._capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # annotations are of the stored frame
        self._next = 0
