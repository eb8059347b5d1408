"""Lays the checkout out as the collection gate.promotion: `make collection`, or `python -m collection`."""
