"""The embedded default: a container VM with the real services, and a workspace to promote.

Standard library only, and run from the checkout: ``python3 -m demo up``.
"""
