"""Settings shared by all tests."""

from pathlib import Path

import pytest
from hypothesis import settings

# The same examples on every run: a failure seen once can be seen again.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture
def data() -> Path:
    """Folder of the files that tests read."""
    return Path(__file__).parent / "data"
