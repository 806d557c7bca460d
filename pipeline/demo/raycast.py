"""Rooms and streets from a handful of boxes, drawn by casting one ray per pixel.

Keeps the depth, so that furniture hides the people behind it.
"""

import numpy as np

from pipeline.rendering.compiled import compiled

PLAIN, PLANKS, TILES, BRICKS, WINDOWS, STRIPES, SHELVES = range(7)
"""Patterns of a surface, as `_mix` numbers them."""

NOISE = np.random.default_rng(0).random((64, 64)).astype(np.float32)


@compiled
def _noise(table, u, v):
    """Return bilinear value noise in 0..1."""
    iu, iv = int(np.floor(u)), int(np.floor(v))
    fu, fv = u - iu, v - iv
    a, b = iu & 63, (iu + 1) & 63
    c, d = iv & 63, (iv + 1) & 63
    low = table[a, c] * (1 - fu) + table[b, c] * fu
    high = table[a, d] * (1 - fu) + table[b, d] * fu
    return low * (1 - fv) + high * fv


@compiled
def _mix(table, kind, u, v):
    """Return how much of the second colour a pattern shows at (u, v), metres over its scale."""
    iu, iv = np.floor(u), np.floor(v)
    fu, fv = u - iu, v - iv
    if kind == 1:  # planks: long boards, each with a tint of its own
        row = np.floor(v * 4)
        gap = 0.6 if v * 4 - row < 0.06 else 0.0
        return gap + 0.5 * table[int(row) & 63, int(np.floor(u * 0.5 + 0.37 * row)) & 63]
    if kind == 2:  # tiles
        return 1.0 if (fu < 0.05 or fv < 0.05) else 0.3 * table[int(iu) & 63, int(iv) & 63]
    if kind == 3:  # bricks
        row = np.floor(v * 3)
        along = u * 1.2 + 0.5 * (row % 2)
        column = np.floor(along)
        if v * 3 - row < 0.12 or along - column < 0.05:
            return 1.0
        return 0.35 * table[int(column) & 63, int(row) & 63]
    if kind == 4:  # windows of a facade
        return 1.0 if (0.25 < fu < 0.75 and 0.25 < fv < 0.8) else 0.0
    if kind == 5:  # stripes
        return 1.0 if fu < 0.5 else 0.0
    if kind == 6:  # shelves with books
        if fv < 0.12:
            return 0.0
        return 0.2 + 0.8 * table[int(np.floor(u * 9)) & 63, int(iv) & 63]
    return 0.0


@compiled
def _first_hit(eye, ray, boxes):
    """Return (distance, axis of the face, box) of what a ray meets first."""
    best, axis, box = np.inf, 0, 0
    for n in range(boxes.shape[0]):
        near, far, near_axis, far_axis = -np.inf, np.inf, 0, 0
        for k in range(3):
            a, b = (boxes[n, k] - eye[k]) * ray[k], (boxes[n, k + 3] - eye[k]) * ray[k]
            if a > b:
                a, b = b, a
            if a > near:
                near, near_axis = a, k
            if b < far:
                far, far_axis = b, k
            if n > 0 and near > far:
                break
        hit, hit_axis = (far, far_axis) if n == 0 else (near, near_axis)
        if (n == 0 or near < far) and 0.05 < hit < best:
            best, axis, box = hit, hit_axis, n
    return best, axis, box


@compiled
def _surface(table, patterns, colours, entry, u, v, shade, out):
    """Set out (3,) to the colour of a surface at (u, v) under a brightness."""
    mix = _mix(table, patterns[entry], u, v)
    grain = _noise(table, u * 7, v * 7) + _noise(table, u * 1.3, v * 1.3) - 1.0
    shade = shade + 0.16 * grain
    for k in range(3):
        first, second = colours[entry, 0, k], colours[entry, 1, k]
        out[k] = shade * (first + mix * (second - first))


@compiled
def cast(K, R, eye, boxes, colours, patterns, scales, light, table, image, inv_depth, is_floor):
    """Fill image, 1/z and the floor's mask.

    Args:
        K: (3, 3) intrinsics without skew, pixels.
        R: (3, 3) world to camera.
        eye: (3,) camera centre, world frame (z up), metres.
        boxes: (n, 6) low and high corners; box 0 is the surroundings, seen from inside.
        colours: (n + 1, 2, 3) first and second colour of each box, then of the floor.
        patterns: (n + 1,) pattern of each.
        scales: (n + 1,) metres per unit of the pattern.
        light: (3,) unit vector towards the lamp.
        table: (64, 64) noise.
        image: (H, W, 3) float32 in 0..255.
        inv_depth: (H, W) float32.
        is_floor: (H, W) float32, 1 on the floor.
    """
    height, width = inv_depth.shape
    ray, inverse, hit = np.empty(3), np.empty(3), np.empty(3)
    for j in range(height):
        y = (j + 0.5 - K[1, 2]) / K[1, 1]
        for i in range(width):
            x = (i + 0.5 - K[0, 2]) / K[0, 0]
            for k in range(3):  # a ray of unit depth, so that distances along it are depths
                ray[k] = x * R[0, k] + y * R[1, k] + R[2, k]
                inverse[k] = 1.0 / ray[k] if abs(ray[k]) > 1e-9 else 1e9
            depth, axis, box = _first_hit(eye, inverse, boxes)
            for k in range(3):
                hit[k] = eye[k] + depth * ray[k]
            floor = box == 0 and axis == 2 and ray[2] < 0.0
            inv_depth[j, i] = 1.0 / depth
            is_floor[j, i] = 1.0 if floor else 0.0
            entry = boxes.shape[0] if floor else box
            u = hit[1 if axis == 0 else 0] / scales[entry]
            v = hit[1 if axis == 2 else 2] / scales[entry]
            # the face that is seen looks back along the ray
            facing = -light[axis] if ray[axis] > 0 else light[axis]
            shade = 0.62 + 0.3 * max(facing, 0.0)
            _surface(table, patterns, colours, entry, u, v, shade, image[j, i])
