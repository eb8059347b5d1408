"""The checks, one module per gate. A check is a small function: evidence and limits in, one finding out."""
