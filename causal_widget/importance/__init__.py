"""Importance: one non-negative number a unit, by named rules."""

from causal_widget.importance.rules import RULES, Rule, importance

__all__ = ["RULES", "Rule", "importance"]
