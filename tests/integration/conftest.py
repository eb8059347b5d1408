"""The fixtures of this folder are in grounds.py, which other folders share."""

from grounds import *  # noqa: F403
