"""Renders a decision for people and machines, and hands the follow-up issue to a tracker."""
