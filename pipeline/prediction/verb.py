"""Verb `predict`: the bodies of the people in your own pictures.

For every picture and box: a mesh (obj or glb), the parameters and camera (npz), the meshes over
the whole picture (png), and one page, index.html, that shows it all. Takes the model.pt of a
training run or what import-checkpoint wrote; works on the CPU.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pipeline import files
from pipeline.body.assets import BodyAssets, load_assets
from pipeline.errors import InputError
from pipeline.images import encode_jpeg
from pipeline.models.saved import load_network
from pipeline.prediction import outputs
from pipeline.prediction.page import Card, page
from pipeline.prediction.people import Person, cut, place, run_network
from pipeline.prediction.pictures import Picture, find_pictures, read_picture, square_boxes
from pipeline.prediction.surfaces import Surface, surface_of
from pipeline.progress import progress

QUALITY = 88  # of the page's JPEGs
PAGE = "index.html"
WITHOUT_PICTURE = ("mesh_transformer",)  # sees the maps of a pose network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, help="runs/.../model.pt, or an imported file")
    add("--images", type=Path, required=True, help="a picture, or a folder of pictures")
    add("--boxes", type=Path,
        help='JSON {"name.jpg": [[x, y, w, h], ...]}: the people of each picture, pixels of the '
        "upright picture; a picture without an entry is taken whole")  # fmt: skip
    add("--body", type=Path, required=True, help="the body asset, data/body/smpl.npz")
    add("--out", type=Path, required=True, help="folder for the results and index.html")
    add("--format", choices=("obj", "glb"), default="obj", help="of the meshes; default: obj")
    add("--batch-size", type=int, default=16, help="people at a time; default: 16")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto",
        help="default: the GPU where there is one")  # fmt: skip
    add("--box-factor", type=float, default=1.2,
        help="side of the square crop over the longer side of a box; default: 1.2, as in "
        "training. The whole picture is taken as it is")  # fmt: skip
    add("--focal", type=float,
        help="focal length of the camera in pixels of the picture; default: 5000 / 224 times "
        "the picture's longer side, nearly orthographic as the networks' own crops")  # fmt: skip


@dataclass
class Waiting:
    """A picture that was read, with the crops that the network is to see."""

    picture: Picture
    image: np.ndarray
    centers: np.ndarray
    sides: np.ndarray
    crops: list[np.ndarray]


@dataclass
class Predictor:
    """What stays the same for all pictures."""

    network: nn.Module
    kind: str
    assets: BodyAssets
    size: int
    device: str
    args: argparse.Namespace
    folders: dict[str, str] = field(default_factory=dict)  # picture's name -> its folder

    def read(self, picture: Picture) -> Waiting:
        """Read a picture and cut its people out."""
        image = read_picture(picture.path)
        size = (image.shape[1], image.shape[0])
        centers, sides = square_boxes(picture.boxes, size, self.args.box_factor)
        crops = [cut(image, c, s, self.size) for c, s in zip(centers, sides, strict=True)]
        return Waiting(picture, image, centers, sides, crops)

    def finish(self, waiting: Sequence[Waiting]) -> list[Card]:
        """Run the network on all that wait and write their outputs."""
        crops = [crop for one in waiting for crop in one.crops]
        if not crops:
            return []
        found = run_network(self.network, crops, self.args.batch_size, self.device)
        if not all(torch.isfinite(value).all() for value in found.values()):
            saw, expected = "results that are no numbers", "weights of a training that converged"
            raise InputError(self.args.checkpoint, "network", saw, expected)
        count = found["vertices"].shape[1]
        surface = surface_of(count, self.assets, self.args.checkpoint)
        cards, start = [], 0
        for one in waiting:
            part = {key: value[start : start + len(one.crops)] for key, value in found.items()}
            start += len(one.crops)
            size = (one.image.shape[1], one.image.shape[0])
            people = place(part, one.centers, one.sides, size, self.args.focal, surface)
            cards.append(self.write(one, people, surface))
        return cards

    def write(self, one: Waiting, people: Sequence[Person], surface: Surface) -> Card:
        """Write the folder of one picture, whole or not at all."""
        name, faces = one.picture.path.name, surface.faces
        folder, suffix = self.folders[name], f".{self.args.format}"
        size = (one.image.shape[1], one.image.shape[0])
        with files.atomic(self.args.out / folder) as part:
            part.mkdir()
            for k, person in enumerate(people):
                base = part / f"person{k + 1}"
                outputs.write_parameters(base.with_suffix(".npz"), person, surface, size)
                outputs.write_mesh(base.with_suffix(suffix), person, faces)
                side = outputs.side_view(person, faces, outputs.colour(k))
                outputs.write_png(part / f"person{k + 1}_side.png", side)
            overlay = outputs.overlay(one.image, people, faces)
            outputs.write_png(part / "overlay.png", overlay)
            for kind, image in (("overlay", overlay), ("photograph", one.image)):
                small = outputs.shrunk(image, outputs.THUMBNAIL)
                (part / f"{kind}_small.jpg").write_bytes(encode_jpeg(small, QUALITY))
        return Card(name, folder, len(people), suffix)


def main(args: argparse.Namespace) -> None:
    """Predict for all pictures; a picture that cannot be read is reported and skipped.

    Raises:
        InputError: if an argument is wrong, or there was no picture that could be read.
    """
    _check_arguments(args)
    pictures = find_pictures(args.images, args.boxes)
    predictor = _predictor(args, pictures)
    cards: list[Card] = []
    skipped: list[tuple[str, str]] = []
    waiting: list[Waiting] = []
    for number, picture in enumerate(progress(pictures, len(pictures), "pictures"), 1):
        try:
            waiting.append(predictor.read(picture))
        except InputError as error:
            why = f"saw {error.saw}, expected {error.expected}"
            skipped.append((picture.path.name, f"{error.field}: {why}" if error.field else why))
            print(f"skipped {picture.path}: {skipped[-1][1]}", file=sys.stderr, flush=True)
        if number == len(pictures) or sum(len(w.crops) for w in waiting) >= args.batch_size:
            cards += predictor.finish(waiting)
            waiting = []
    if not cards:
        saw = f"{len(skipped)} pictures, none of which could be read"
        raise InputError(args.images, "", saw, "one at least")
    people = _count(sum(card.people for card in cards), "person", "people")
    focal = f"focal length {args.focal:g} px" if args.focal else "nearly orthographic camera"
    pictures_read = _count(len(cards), "picture", "pictures")
    network = f"{predictor.kind} ({args.checkpoint.name})"
    facts = [f"{people} in {pictures_read}", network, focal]
    with files.atomic(args.out / PAGE) as part:
        part.write_text(page(cards, skipped, facts), encoding="utf-8")
    total = _count(len(pictures), "picture", "pictures")
    print(f"{people} in {len(cards)} of {total}: {args.out / PAGE}", flush=True)


def _check_arguments(args: argparse.Namespace) -> None:
    if args.out.exists() and not args.out.is_dir():
        raise InputError(args.out, "", "a file", "a folder to write into")
    for flag in ("batch_size", "box_factor", "focal"):
        value = getattr(args, flag)
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"--{flag.replace('_', '-')}", "", value, "a number above 0")


def _predictor(args: argparse.Namespace, pictures: Sequence[Picture]) -> Predictor:
    """Load body and network, and name the folders of the outputs."""
    device = args.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device", "", "cuda on a machine without a GPU", "cpu")
    assets = load_assets(args.body)
    network, settings = load_network(args.checkpoint, assets)
    if not hasattr(network, "predict") or settings["kind"] in WITHOUT_PICTURE:
        saw = f"a {settings['kind']}, which predicts no body from a picture by itself"
        raise InputError(args.checkpoint, "network", saw, "hmr, pymaf, mpt, ...")
    size = getattr(network, "options", getattr(network, "body", None)).image_size
    network = network.to(device).eval()
    folders = folder_names([picture.path.name for picture in pictures])
    return Predictor(network, settings["kind"], assets, size, device, args, folders)


def folder_names(names: Sequence[str]) -> dict[str, str]:
    """Return a folder name per picture: its stem, or its whole name where the stem is taken."""
    stems = [Path(name).stem for name in names]
    folders, taken = {}, {PAGE}
    for name, stem in zip(names, stems, strict=True):
        shared = stems.count(stem) > 1 or stem in taken
        folder = name.replace(".", "_") if shared else stem
        while folder in taken:
            folder += "_"
        taken.add(folder)
        folders[name] = folder
    return folders


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
