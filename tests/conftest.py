"""Every test may be marked as a fault that strangers found; strangers.py writes their table."""

from strangers import *  # noqa: F403
