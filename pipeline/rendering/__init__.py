"""Pictures of meshes: the z-buffer, surface coordinates, overlays."""
