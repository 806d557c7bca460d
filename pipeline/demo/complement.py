"""Demo Complement data: rendered left hands, a folder per pose and a picture per view.

`<set>/<pose>/pic256/<look>/hand.<view>.png`, `<set>/<pose>/mask256/<view>.png` and
`<set>/<pose>/model_mano/<view>.obj`, a mesh in metres of the camera frame. Pictures, masks and
meshes are the mirror images of right hands.
"""

from pathlib import Path

import numpy as np

from pipeline.demo.hands import Studio, blotches, draw_hand
from pipeline.demo.lsp import write_png
from pipeline.demo.stage import Stage
from pipeline.seeding import rng

SIZE = 256
FOCAL = 373.3511425  # pixels
DEPTH = (0.55, 0.95)  # metres
FOLDERS = ("base_pose", "trans_pose_batch1", "trans_pose_batch2", "trans_pose_batch3")
LOOK = "look0"


def plan(settings: dict) -> list[dict]:
    """Return one task per pose.

    Args:
        settings: poses (of each of the four sets), views (of each pose), turn_deg.
    """
    return [{"folder": f, "pose": pose} for f in FOLDERS for pose in range(settings["poses"])]


def produce(task: dict, stage: Stage) -> None:
    """Write the views of one pose."""
    model = stage.bodies.assets.hand_models["right"]
    K = np.array([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1.0]])
    folder = stage.root / task["folder"] / f"{task['pose']:04d}"
    for view in range(1, stage.settings["views"] + 1):
        random = rng(stage.settings["seed"], "complement", task["folder"], task["pose"], view)
        place = np.array([*random.uniform(-0.04, 0.04, 2), random.uniform(*DEPTH)])
        hand = draw_hand(random, model, place, stage.settings["turn_deg"])
        studio = Studio(random, model.model.faces)
        picture, mask = studio.shoot(random, blotches(random, SIZE, SIZE), hand.vertices, K)
        write_png(folder / "pic256" / LOOK / f"hand.{view:04d}.png", picture[:, ::-1])
        grey = np.repeat(mask[:, ::-1, None], 3, 2) * np.uint8(255)
        write_png(folder / "mask256" / f"{view}.png", grey)
        mesh = folder / "model_mano" / f"{view}.obj"
        write_obj(mesh, hand.vertices * [-1, 1, 1], model.model.faces[:, ::-1])


def write_obj(path: Path, vertices: np.ndarray, faces: np.ndarray) -> None:
    """Write a mesh; faces count vertices from one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"v {x:.8f} {y:.8f} {z:.8f}\n" for x, y, z in vertices]
    lines += [f"f {a} {b} {c}\n" for a, b, c in faces + 1]
    path.write_text("".join(lines))


def finish(results: list[None], settings: dict, root: Path) -> None:
    """Nothing is left to write."""
