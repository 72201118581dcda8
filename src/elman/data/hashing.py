"""One hash of tensors."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def hash_of(tensors: Mapping[str, Tensor], document: str = "") -> str:
    """Return the SHA-256 of a text and of tensors on the CPU with their names and types.

    >>> hash_of({"a": torch.ones(2)}) == hash_of({"a": torch.ones(2, dtype=torch.float64)})
    False
    """
    digest = hashlib.sha256(document.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        # torch does not view a tensor without elements as bytes.
        if tensor.numel():
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
