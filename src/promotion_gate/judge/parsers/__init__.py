"""Parsers of tool output: text in, frozen dataclasses out.

They never raise, whatever the text, and they never judge: what a result is worth is the checks' business.
What they cannot read they leave out or name (``unreadable``, ``None``, ``unknown``); they never guess.
"""
