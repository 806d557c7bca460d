"""The OpenGL engine behind `render_iuv`: pyrender, offscreen, without anti-aliasing.

The part index travels as a colour, so any blending of neighbouring pixels would invent parts:
multi-sampling must be off. One renderer and one mesh live on; only vertex positions change.
"""

import os
from functools import lru_cache

import numpy as np

from pipeline.errors import InputError

PART_STEP = 10  # 24 parts x 10 fit in one byte, far enough apart to survive rounding
Z_NEAR, Z_FAR = 0.05, 1000.0  # metres
LIBRARIES = "the system packages libegl1 and libgl1 (or libosmesa6 with PYOPENGL_PLATFORM=osmesa)"


def _load():
    """Return (pyrender, its renderer module); OpenGL's platform is chosen on first import."""
    os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
    try:
        import pyrender
        from pyrender import renderer
    except Exception as error:  # PyOpenGL raises many types when a shared library is missing
        raise InputError(
            "iuv", "engine", f"pyrender ({error})", f"the package pyrender and {LIBRARIES}"
        ) from error
    return pyrender, renderer


class GLRenderer:
    """Draws one mesh topology with per-corner colours (part, U, V) into a square image."""

    def __init__(self, size: int, atlas, mirrored: bool):
        self._pyrender, module = _load()
        corners = np.concatenate(
            [
                atlas.faces.reshape(-1, 1),
                np.repeat(atlas.part, 3)[:, None] * PART_STEP,
                np.round(atlas.uv.reshape(-1, 2) * 65535),
            ],
            axis=1,
        ).astype(np.int64)
        unique, indices = np.unique(corners, axis=0, return_inverse=True)
        self._vertex_ids = unique[:, 0]
        colours = np.ones((len(unique), 4), np.float32)
        colours[:, 0] = unique[:, 1] / 255.0
        colours[:, 1:3] = unique[:, 2:] / 65535.0
        faces = indices.reshape(-1, 3)
        faces = faces[:, ::-1] if mirrored else faces
        self._data = np.concatenate([np.zeros((len(unique), 3), np.float32), colours], axis=1)
        self._scene, self._primitive, self._camera = self._build_scene(colours, faces)
        self._renderer = self._open(size, module)

    def _build_scene(self, colours, faces):
        pyrender = self._pyrender

        class MatrixCamera(pyrender.Camera):
            """A camera given by its (4, 4) projection; pyrender knows no sheared pinhole."""

            projection = np.eye(4)

            def get_projection_matrix(self, width=None, height=None):
                return self.projection

        material = pyrender.MetallicRoughnessMaterial(baseColorFactor=[1.0] * 4)
        primitive = pyrender.Primitive(
            positions=np.zeros((len(colours), 3), np.float32),
            indices=faces.astype(np.uint32),
            color_0=colours,
            mode=4,
            material=material,
        )
        scene = pyrender.Scene(bg_color=[0, 0, 0, 0], ambient_light=[1, 1, 1])
        scene.add(pyrender.Mesh([primitive]))
        camera = MatrixCamera(znear=Z_NEAR, zfar=Z_FAR)
        scene.add(camera, pose=np.eye(4))
        return scene, primitive, camera

    def _open(self, size, module):
        """Return an offscreen renderer; the first frame creates the buffers it writes to."""
        from OpenGL import GL

        def enable(capability):
            if capability != GL.GL_MULTISAMPLE:
                GL.glEnable(capability)
            else:
                GL.glDisable(capability)

        module.glEnable = enable  # pyrender asks for multi-sampling without a way to refuse it
        try:
            renderer = self._pyrender.OffscreenRenderer(size, size)
            renderer.render(self._scene, flags=self._flags)
        except Exception as error:  # drivers raise many types; all mean that GL cannot start
            raise InputError("iuv", "engine", f"pyrender ({error!r})", LIBRARIES) from error
        return renderer

    @property
    def _flags(self):
        return self._pyrender.RenderFlags.FLAT | self._pyrender.RenderFlags.RGBA

    def render(self, vertices_cam: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """Return the (size, size, 4) uint8 image of (part x PART_STEP, U, V, covered)."""
        from OpenGL import GL

        size = self._renderer.viewport_width
        self._camera.projection = gl_projection(matrix, size)
        self._data[:, :3] = vertices_cam[self._vertex_ids] * [1.0, -1.0, -1.0]  # GL: y up, -z
        self._renderer._platform.make_current()
        GL.glBindBuffer(GL.GL_ARRAY_BUFFER, self._primitive._buffers[0])
        GL.glBufferSubData(GL.GL_ARRAY_BUFFER, 0, self._data.nbytes, self._data)
        GL.glBindBuffer(GL.GL_ARRAY_BUFFER, 0)
        return self._renderer.render(self._scene, flags=self._flags)[0]


def gl_projection(matrix: np.ndarray, size: int) -> np.ndarray:
    """Return the (4, 4) clip matrix of points in GL's eye frame for a (3, 3) pixel matrix.

    Continuous pixels run from 0 to size, as GL's viewport does, so ndc = 2 u / size - 1.
    """
    to_ndc = np.array([[2.0 / size, 0, -1.0], [0, -2.0 / size, 1.0], [0, 0, 1.0]])
    from_eye = np.diag([1.0, -1.0, -1.0])
    rays = to_ndc @ matrix @ from_eye
    projection = np.zeros((4, 4))
    projection[[0, 1, 3], :3] = rays
    projection[2, 2] = -(Z_FAR + Z_NEAR) / (Z_FAR - Z_NEAR)
    projection[2, 3] = -2.0 * Z_FAR * Z_NEAR / (Z_FAR - Z_NEAR)
    return projection


_RENDERERS: dict = {}


def _renderer(size: int, atlas, mirrored: bool) -> GLRenderer:
    """Return the renderer of this process; a GL context cannot be shared after a fork."""
    key = (os.getpid(), size, id(atlas.faces), mirrored)
    if key not in _RENDERERS:
        _RENDERERS[key] = (GLRenderer(size, atlas, mirrored), atlas)
    return _RENDERERS[key][0]


@lru_cache(maxsize=1)
def why_unavailable() -> str:
    """Return an empty string when GL works here, else the reason."""
    try:
        _load()[0].OffscreenRenderer(8, 8).delete()
    except Exception as error:  # whatever stops GL is the answer
        return f"{type(error).__name__}: {error}"
    return ""


def render_iuv_gl(vertices_cam, matrix, size, atlas) -> tuple[np.ndarray, np.ndarray]:
    """Return (part, uv) as `render_iuv` does, drawn by OpenGL."""
    mirrored = bool(np.linalg.det(matrix[:2, :2]) < 0)
    image = _renderer(size, atlas, mirrored).render(np.asarray(vertices_cam), matrix)
    part = np.round(image[..., 0] / PART_STEP).astype(np.uint8)
    uv = image[..., 1:3].astype(np.float32) / 255.0
    uv[part == 0] = 0
    return part, uv
