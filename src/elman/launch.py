"""Which processes a launcher such as torchrun started, as its environment variables say; no torch."""

import os
import socket

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def is_one_of_several() -> bool:
    """Return whether a launcher such as torchrun started several processes."""
    return all(name in os.environ for name in _VARIABLES) and int(os.environ["WORLD_SIZE"]) > 1


def is_restarted() -> bool:
    """Return whether torchrun started the processes again after one of them had ended."""
    return is_one_of_several() and int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def find_free_port() -> int:
    """Return a port of this machine that no process listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
