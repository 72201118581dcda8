"""Random cells, compiled and compared: whether targets and gradients agree with the reference."""
