"""Searches of settings: trials of several processes on one journal, with Optuna."""
