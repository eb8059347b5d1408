"""decide() and what it consists of: checks, parsers of tool output, field ownership, stale evidence, waivers."""
