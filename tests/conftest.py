"""What every test stands on: one thread, seeded generators, and golden files that can be written anew."""

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import settings

import tests.examples  # noqa: F401 (registers the profiles)

settings.load_profile("elman")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files from what comes out now")


def pytest_configure() -> None:
    torch.set_num_threads(1)


def pytest_collection_finish() -> None:
    """Leave what is alive now, all tests and modules, out of every later garbage collection, which takes half a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with `golden/NAME` beside the test; `--update-golden` writes it."""
    folder = request.path.parent / "golden"

    def compare(name: str, text: str) -> None:
        path: Path = folder / name
        if request.config.getoption("--update-golden"):
            folder.mkdir(exist_ok=True)
            path.write_text(text + "\n", encoding="utf-8")
        assert path.is_file(), f"{path} is missing: run pytest --update-golden and read what it wrote"
        assert text + "\n" == path.read_text(encoding="utf-8")

    return compare
