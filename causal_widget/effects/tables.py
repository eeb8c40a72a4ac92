"""One row a question and outcome: effect, how sure it is, verdict."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from causal_widget.effects.questions import Question
from causal_widget.effects.statistics import Estimate, Verdicts

__all__ = ["effects_table"]


def effects_table(
    asked: Sequence[Question], columns: Sequence[str], found: Estimate, judged: Verdicts
) -> pd.DataFrame:
    """Put estimates and verdicts, (question, column), in one table; see `Effects.table`."""
    count, width = found.mean.shape

    def by_question(values: list[object]) -> np.ndarray:
        return np.repeat(np.array(values, dtype=object), width)

    rows = {
        "layer": by_question([one.layer for one in asked]),
        "unit": pd.array(by_question([one.unit for one in asked]), dtype="Int64"),
        "question": by_question([one.name for one in asked]),
        "outcome": np.tile(np.array(columns, dtype=object), count),
        "effect": found.mean.ravel(),
        "sd": found.sd.ravel(),
        "se": found.se.ravel(),
        "n": found.n.ravel(),
        "changed": found.changed.ravel(),
        "low": judged.low.ravel(),
        "high": judged.high.ravel(),
        "p": judged.p.ravel(),
        "corrected p": judged.corrected.ravel(),
        "verdict": judged.verdict.ravel(),
        "needed": np.where(np.isnan(judged.p), np.nan, judged.needed).ravel(),
    }
    return pd.DataFrame(rows)
