"""The examples in the docstrings are run."""

import doctest
import importlib
import pkgutil

import pytest

import elman.data

MODULES = [module.name for module in pkgutil.walk_packages(elman.data.__path__, "elman.data.")]
WITH_EXAMPLES = (".batches", ".files", ".listing", ".positions", ".ragged.ragged", ".tokens", ".vocabulary")


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_are_true(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0
    assert found.attempted > 0 or not name.endswith(WITH_EXAMPLES)
