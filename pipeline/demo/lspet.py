"""Demo HR-LSPET: `hr-lspet/im%05d.png`, `joints.mat` (14, 3, images), and EFT's fits.

The third column is 1 where a joint is visible; elsewhere the coordinates are junk, often
negative. Some numbers are missing, as in the official release, and some images have no fit.
"""

import json
from pathlib import Path

import numpy as np

from pipeline.demo.eft import eft_entry
from pipeline.demo.lsp import write_png
from pipeline.demo.matlab import write_mat5
from pipeline.demo.portraits import annotate, photograph
from pipeline.demo.stage import Stage
from pipeline.seeding import rng

FOLDER = "hr-lspet"
FITS = "eft_fit/LSPet_ver01.json"
EVERY = 3  # one number in so many is missing


def plan(settings: dict) -> list[dict]:
    """Return one task per image.

    Args:
        settings: image_size (longer side), images.
    """
    numbers = [n for n in range(1, 2 * settings["images"] + EVERY) if n % EVERY != 2]
    return [{"number": number} for number in numbers[: settings["images"]]]


def produce(task: dict, stage: Stage) -> tuple[np.ndarray, dict | None]:
    """Write one image; return its joints (14, 3) and its fit."""
    random = rng(stage.settings["seed"], "lspet", task["number"])
    portrait = photograph(random, stage, alone=True)
    pixels, seen = annotate(portrait, stage, "lsp14")
    seen &= random.random(14) > 0.1
    junk = random.uniform(-3000, 100, (14, 2))
    name = f"im{task['number']:05d}.png"
    write_png(stage.root / FOLDER / name, portrait.picture.image)
    joints = np.column_stack([np.where(seen[:, None], pixels, junk), seen])
    fit = eft_entry(portrait, stage, 0, name) if task["number"] % 5 != 4 else None
    return joints, fit


def finish(results: list[tuple], settings: dict, root: Path) -> None:
    """Write the joints and the fits."""
    joints = np.stack([joints for joints, _ in results], -1)
    write_mat5(root / FOLDER / "joints.mat", {"joints": joints})
    (root / FITS).parent.mkdir(parents=True)
    fits = [fit for _, fit in results if fit]
    (root / FITS).write_text(json.dumps({"ver": 0.1, "data": fits}))
