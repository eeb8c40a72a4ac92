"""What is asked of the network: the effects of which edits, and its answers."""

from causal_widget.effects.questions.answers import Answer, answers, changes, entries_of
from causal_widget.effects.questions.asking import questions_of_edits, questions_of_units
from causal_widget.effects.questions.context import Context
from causal_widget.effects.questions.question import Question
from causal_widget.effects.questions.questions import Questions

__all__ = [
    "Answer",
    "Context",
    "Question",
    "Questions",
    "answers",
    "changes",
    "entries_of",
    "questions_of_edits",
    "questions_of_units",
]
