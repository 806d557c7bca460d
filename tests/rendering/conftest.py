"""The open body, for tests that draw it."""

import pytest

from pipeline.body.assets import load_assets
from tests.body_asset import body_asset


@pytest.fixture(scope="session")
def body_path(tmp_path_factory):
    return body_asset(tmp_path_factory)


@pytest.fixture(scope="session")
def assets(body_path):
    return load_assets(body_path)
