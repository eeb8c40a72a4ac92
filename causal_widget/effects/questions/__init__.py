"""What is asked of the network: the effects of which edits."""

from causal_widget.effects.questions.question import Question

__all__ = ["Question"]
