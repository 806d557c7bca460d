"""Milliseconds a training sample: from records, and from the full image as the public loaders do.

Usage: python benchmarks/loader.py [--size 224] [--count 40]

Three ways to the same augmented crop of a 1000 x 1000 photograph, timed in turns in one run:
`records`: the whole sample, image and all labels, from a stored 400 px crop; `full image`: decode
and one warp; `public recipe`: decode, convert to float, cut a padded square, rotate it, trim,
resize, which is the order of operations of SPIN, PyMAF and PARE. The last two make no labels.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import scipy.ndimage

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipeline.convert.cutting import Job, cut
from pipeline.data.augment import draw
from pipeline.data.crops import crop_affine, warp_image
from pipeline.data.dataset import RecordsDataset
from pipeline.images import decode_jpeg, encode_jpeg
from pipeline.records import RecordsWriter
from pipeline.seeding import rng

CENTER, SIDE, PERSONS = np.array([510.0, 480.0]), 430.0, 8
AUGMENTATION = {"flip": 0.5, "rotation_deg": 30, "rotation_zero": 0.6, "scale": 0.25, "gain": 0.4}
CROP = {"size": 400, "margin": 1.8, "jpeg_quality": 95}


def write_photographs(folder: Path) -> list[Path]:
    paths = []
    for number in range(PERSONS):
        noise = rng(0, "photograph", number).integers(0, 255, (60, 60, 3), np.uint8)
        image = cv2.resize(noise, (1000, 1000), interpolation=cv2.INTER_CUBIC)
        paths.append(folder / f"{number}.jpg")
        paths[-1].write_bytes(encode_jpeg(image, 90))  # about 200 kB
    return paths


def write_records(photographs: list[Path], path: Path) -> Path:
    with RecordsWriter(path, "bench", "train", "all", "h36m17", "h36m17", "pelvis") as writer:
        for number, photograph in enumerate(photographs):
            random = rng(0, "labels", number)
            stored = cut([Job(photograph, tuple(CENTER), SIDE, None)], CROP)[0]
            keypoints = np.column_stack([random.uniform(300, 700, (17, 2)), np.ones(17)])
            writer.add(
                stored.jpeg, image_size=stored.image_size, affine=stored.affine,
                name=photograph.name, original_size=stored.original_size, center=CENTER,
                side=SIDE, keypoints_2d=keypoints, joints_3d=random.normal(size=(17, 4)),
                global_orient=random.normal(size=3), body_pose=random.normal(size=(23, 3)),
                betas=random.normal(size=10),
            )  # fmt: skip
    return path


def full_image(photograph: Path, size: int, generator: np.random.Generator) -> np.ndarray:
    change = draw(AUGMENTATION, generator)
    affine = crop_affine(CENTER, SIDE, size, change.rotation, change.scale, change.flip)
    image = decode_jpeg(photograph.read_bytes(), photograph)
    return warp_image(image, affine, (size, size))


def public_recipe(photograph: Path, size: int, generator: np.random.Generator) -> np.ndarray:
    change = draw(AUGMENTATION, generator)
    image = cv2.imread(str(photograph))[:, :, ::-1].copy().astype(np.float32)
    side = int(SIDE * change.scale)
    pad = int((np.sqrt(2) - 1) * side / 2) + 1 if change.rotation else 0
    low = (CENTER - side / 2).astype(int) - pad
    square = np.zeros((side + 2 * pad, side + 2 * pad, 3), np.float32)
    x0, y0 = np.maximum(low, 0)
    x1, y1 = np.minimum(low + len(square), 1000)
    square[y0 - low[1] : y1 - low[1], x0 - low[0] : x1 - low[0]] = image[y0:y1, x0:x1]
    if change.rotation:
        turned = scipy.ndimage.rotate(square, np.degrees(change.rotation), reshape=False, order=1)
        square = turned[pad:-pad, pad:-pad]
    crop = cv2.resize(square, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.transpose(crop[:, ::-1] if change.flip else crop, (2, 0, 1)) / 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--count", type=int, default=100, help="samples of each kind")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photographs = write_photographs(Path(folder))
        settings = {"image_size": args.size, "augmentation": AUGMENTATION}
        records = write_records(photographs, Path(folder) / "bench.h5")
        dataset = RecordsDataset(records, None, settings, train=True)
        ways = {
            "records": lambda k: dataset.item(k % PERSONS, rng(0, k)),
            "full image": lambda k: full_image(photographs[k % PERSONS], args.size, rng(0, k)),
            "public recipe": lambda k: public_recipe(
                photographs[k % PERSONS], args.size, rng(0, k)
            ),
        }
        times = {name: [] for name in ways}
        for k in range(-3, args.count):  # the first three warm the caches
            for name, way in ways.items():
                start = time.perf_counter()
                way(abs(k))
                if k >= 0:
                    times[name].append(1000 * (time.perf_counter() - start))
    base = np.mean(times["records"])
    print(f"crops of {args.size} px   mean ms  median   least   ratio")
    for name, values in times.items():
        least, median, mean = min(values), np.median(values), np.mean(values)
        print(f"{name:15s} {mean:9.2f} {median:7.2f} {least:7.2f} {mean / base:7.1f}")


if __name__ == "__main__":
    main()
