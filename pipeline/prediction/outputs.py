"""What is written for each picture: meshes, parameters, overlays."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pipeline.joints import JOINT_SETS
from pipeline.prediction.people import Person
from pipeline.prediction.surfaces import Surface
from pipeline.rendering.overlay import overlay_mesh

COLOURS = ((110, 170, 205), (214, 142, 108), (140, 190, 120), (200, 160, 210), (220, 200, 110))
SHOWN = 1600  # px, longer side of the overlays
THUMBNAIL = 480  # px, longer side of the pictures on the page
SIDE_VIEW = 320  # px
BEHIND = 0.01  # m, least depth of a vertex that can be drawn
# Axes of viewers: y up, looking along -z. A turn by pi about x, so nothing is mirrored.
VIEWER_AXES = np.array([1.0, -1.0, -1.0], np.float32)
KEYS = {
    "kind": "parametric (all keys) or mesh (no betas, body_pose, global_orient)",
    "betas": "(10,) shape",
    "body_pose": "(23, 3) axis-angle of the joints below the pelvis",
    "global_orient": "(3,) axis-angle of the pelvis, camera frame",
    "cam": "(3,) s, tx, ty of the crop",
    "transl": "(3,) metres: position of the body's origin in the picture's camera",
    "vertices": "(V, 3) metres, picture's camera, transl included: project with focal_length",
    "faces": "(F, 3)",
    "joints": "(17, 3), of a hand (21, 3), metres, likewise, regressed from the mesh",
    "joint_names": "(17,) or (21,) names of joints, left and right those of the person",
    "focal_length": "pixels of the picture",
    "principal_point": "(2,) pixels of the picture",
    "crop": "(3,) centre x, y and side of the square that the network saw, pixels",
    "image_size": "(2,) width and height in pixels",
}


def write_parameters(path: Path, person: Person, surface: Surface, size: tuple[int, int]) -> None:
    """Write one person's `.npz`, see KEYS. Camera frame: x right, y down, z forward."""
    arrays = {
        "kind": np.array("mesh" if person.pose is None else "parametric"),
        "cam": person.cam,
        "transl": person.transl.astype(np.float32),
        "vertices": person.placed.astype(np.float32),
        "faces": surface.faces.astype(np.int32),
        "joints": (person.joints + person.transl).astype(np.float32),
        "joint_names": np.array(JOINT_SETS[surface.joint_set]),
        "focal_length": np.float32(person.focal),
        "principal_point": person.principal_point.astype(np.float32),
        "crop": np.array([*person.center, person.side], np.float32),
        "image_size": np.array(size, np.int32),
    }
    if person.pose is not None:
        arrays |= {"betas": person.betas, "global_orient": person.pose[0],
                   "body_pose": person.pose[1:]}  # fmt: skip
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)


def write_mesh(path: Path, person: Person, faces: np.ndarray) -> None:
    """Write the mesh as `.obj` or `.glb`: metres, y up, facing +z, about the body's own origin."""
    vertices = (person.vertices * VIEWER_AXES).astype(np.float32)
    if path.suffix == ".glb":
        import trimesh

        mesh = trimesh.Trimesh(vertices, faces, process=False)
        path.write_bytes(mesh.export(file_type="glb", include_normals=True))
        return
    with open(path, "w") as file:
        file.write("# metres, y up\n")
        np.savetxt(file, vertices, fmt="v %.6f %.6f %.6f")
        np.savetxt(file, faces + 1, fmt="f %d %d %d")


def shrunk(image: np.ndarray, limit: int) -> np.ndarray:
    """Return the picture at most `limit` px long."""
    height, width = image.shape[:2]
    ratio = min(1.0, limit / max(height, width))
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA) if ratio < 1 else image


def overlay(image: np.ndarray, people: Sequence[Person], faces: np.ndarray) -> np.ndarray:
    """Return the picture, at most SHOWN px long, with everybody drawn, the farthest first.

    Args:
        image: (H, W, 3) uint8 RGB.
        people: in the order of their colours.
        faces: (F, 3) of the meshes.
    """
    out = shrunk(image, SHOWN)
    zoom = np.diag([out.shape[1] / image.shape[1], out.shape[0] / image.shape[0], 1.0])
    for k in sorted(range(len(people)), key=lambda k: -people[k].transl[2]):
        vertices = people[k].placed
        if vertices[:, 2].min() > BEHIND:
            out = _draw(out, vertices, faces, zoom @ people[k].camera_matrix, colour(k))
    return out


def colour(k: int) -> tuple[int, int, int]:
    """Return the RGB colour of the k-th person."""
    return COLOURS[k % len(COLOURS)]


def _draw(
    image: np.ndarray, vertices: np.ndarray, faces: np.ndarray, K: np.ndarray, rgb: tuple
) -> np.ndarray:
    """Draw one mesh, working on the part of the picture that it covers."""
    points = vertices @ K.T
    points = points[:, :2] / points[:, 2:]
    limits = [image.shape[1], image.shape[0]]
    x0, y0 = np.clip(np.floor(points.min(0)), 0, limits).astype(int)
    x1, y1 = np.clip(np.ceil(points.max(0)), 0, limits).astype(int)
    if x1 <= x0 or y1 <= y0:
        return image
    moved = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]]) @ K
    out = image.copy()
    out[y0:y1, x0:x1] = overlay_mesh(image[y0:y1, x0:x1], vertices, faces, moved, rgb)
    return out


def side_view(person: Person, faces: np.ndarray, rgb: tuple[int, int, int]) -> np.ndarray:
    """Return a small picture of the body seen from its left if it faces the camera, on white."""
    centre = (person.vertices.max(0) + person.vertices.min(0)) / 2
    x, y, z = (person.vertices - centre).T
    extent = float(np.ptp(person.vertices, axis=0).max())
    depth = 25.0 * extent
    turned = np.stack([-z, y, x + depth], axis=-1).astype(np.float32)
    focal = 0.92 * SIDE_VIEW * depth / max(extent, 1e-6)
    K = np.array([[focal, 0, SIDE_VIEW / 2], [0, focal, SIDE_VIEW / 2], [0, 0, 1]])
    blank = np.full((SIDE_VIEW, SIDE_VIEW, 3), 255, np.uint8)
    return overlay_mesh(blank, turned, faces, K, rgb)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an RGB picture as PNG."""
    path.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())
