"""Images a second and core of cutting crops out of 1000 x 1000 JPEGs: ours, and a PIL loop.

    python -m benchmarks.conversion [--images 60] [--rounds 5]

Both decode the photograph, cut the same square of 1.8 boxes (padded where it leaves the image),
bring it to 400 px and encode it as JPEG of quality 95. Each round times both on the same files.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pipeline.convert.cutting import Job, cut
from pipeline.images import encode_jpeg
from pipeline.seeding import rng

CROP = {"size": 400, "margin": 1.8, "jpeg_quality": 95}
SIZE, FILES = 1000, 8


def write_photographs(folder: Path) -> list[Path]:
    paths = []
    for number in range(FILES):
        noise = rng(0, "photograph", number).integers(0, 255, (60, 60, 3), np.uint8)
        image = cv2.resize(noise, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        paths.append(folder / f"{number}.jpg")
        paths[-1].write_bytes(encode_jpeg(image, 90))
    return paths


def boxes(count: int) -> list[tuple[tuple[float, float], float]]:
    random = rng(0, "boxes")
    return [(tuple(random.uniform(350, 650, 2)), random.uniform(300, 600)) for _ in range(count)]


def with_pil(photograph: Path, center: tuple[float, float], side: float) -> bytes:
    half = side * CROP["margin"] / 2
    edges = (center[0] - half, center[1] - half, center[0] + half, center[1] + half)
    with Image.open(photograph) as image:
        square = image.convert("RGB").crop(tuple(round(edge) for edge in edges))
    out = io.BytesIO()
    small = square.resize((CROP["size"], CROP["size"]), Image.Resampling.BILINEAR)
    small.save(out, "JPEG", quality=CROP["jpeg_quality"])
    return out.getvalue()


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        files = write_photographs(Path(folder))
        work = [(files[k % FILES], *box) for k, box in enumerate(boxes(args.images))]
        jobs = [Job(file, center, side, None) for file, center, side in work]
        cut(jobs[:2], CROP)
        with_pil(*work[0])
        times = [(seconds(lambda: [with_pil(*item) for item in work]),
                  seconds(lambda: cut(jobs, CROP))) for _ in range(args.rounds)]  # fmt: skip
    ratios = [pil / ours for pil, ours in times]
    for name, values in zip(("PIL loop", "pipeline"), zip(*times, strict=True), strict=True):
        rates = [args.images / value for value in values]
        print(f"{name} images/s: best {max(rates):7.1f}  median {statistics.median(rates):7.1f}")
    print(f"ratio            : min {min(ratios):8.2f}  median {statistics.median(ratios):7.2f}")


if __name__ == "__main__":
    main()
