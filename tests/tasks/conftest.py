"""The command line, for tasks that are not in elman."""

from tests.cli.conftest import elman as elman
from tests.cli.conftest import one_thread as one_thread
