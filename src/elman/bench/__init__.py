"""elman beside its peers on this machine: the same work, in the same run, in turns."""
