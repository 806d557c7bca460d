from pathlib import Path

import pytest
import yaml

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture(scope="session")
def camera_table():
    return yaml.safe_load(PARAMS.read_text())["synthesis"]["cameras"]
