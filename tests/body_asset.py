"""The open body as the asset that every stage reads, made once per test session."""

from pathlib import Path

from pipeline.body import open_body
from pipeline.body.assets import collect, save_assets


def body_asset(tmp_path_factory) -> Path:
    folder = tmp_path_factory.getbasetemp() / "body_asset"
    path = folder / "smpl.npz"
    if not path.exists():
        open_body.write_files(folder / "raw")
        save_assets(path, collect(folder / "raw", levels=[1723, 431], num_betas=10))
    return path
