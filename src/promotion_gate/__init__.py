"""The promotion gate: from evidence on disk to PROMOTE or HOLD. Nothing here imports Ansible."""

__version__ = "0.1.0"
