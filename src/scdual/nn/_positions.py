"""Find the entries that are chosen."""

import numpy as np
import torch


def positions(is_chosen: torch.Tensor) -> torch.Tensor:
    """Return where a tensor is true, counted along all its entries, shape ``(N,)``.

    On a processor NumPy finds them faster than torch, of dense data up to nine times.
    """
    flat = is_chosen.flatten()
    if flat.device.type != "cpu" or torch.compiler.is_compiling():
        return flat.nonzero().squeeze(1)
    return torch.from_numpy(np.flatnonzero(flat.numpy()))
