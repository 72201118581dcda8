"""Work on a Ray cluster: predictions over files of any size, with one model for each actor."""
