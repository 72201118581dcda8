"""What every test stands on: one thread, seeded generators, and golden files that can be written anew."""

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import settings

import tests.examples  # noqa: F401 (registers the profiles)
from tests.refusals import drawn, refusal

settings.load_profile("elman")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files from what comes out now")


def pytest_configure() -> None:
    torch.set_num_threads(1)
    for device in (torch.cuda, torch.xpu, torch.mtia):
        if not device.is_available():
            # `torch.manual_seed` keeps the stack of its caller for a device that may come, which takes a millisecond.
            setattr(device, "manual_seed_all", lambda seed: None)  # noqa: B010


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Report cells that a target does not run as skipped."""
    for item in items:
        parameters = drawn(item)
        named = [each if isinstance(each, str) else None for each in (parameters["cell"], parameters.get("target"))]
        if reason := refusal(*named):
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    """Leave all tests and modules out of later garbage collections, each of which would take half a second."""
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
