"""The checks, one module per gate. A check is a small function: evidence and limits in, one finding out."""


def load_all() -> None:
    """Imports every module of checks, which registers them."""
    from promotion_gate.checks import contracts, preflight, slurm, sqlite, vm  # noqa: F401
