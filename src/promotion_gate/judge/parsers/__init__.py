"""Parsers of tool output: text in, frozen dataclasses out.

They never raise, whatever the text, and they never judge; the checks do that. What they cannot read they leave out or
mark (``unreadable``, ``None``, ``unknown``); they never guess.
"""
