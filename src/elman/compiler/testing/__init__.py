"""Random cells, compiled and compared: whether the targets and the gradients mean what the reference means."""
