"""What runs a plan. A target knows operations, and no cell by name."""
