"""What do() does to a running network, and where."""

from causal_widget.interventions.acting import acted
from causal_widget.interventions.actions import (
    ACTIONS,
    Action,
    Constant,
    Mean,
    Noise,
    Resample,
    Scale,
    Zero,
    action_from_json,
)
from causal_widget.interventions.edit import Edits, edit_from_json
from causal_widget.interventions.editing import edited
from causal_widget.interventions.intervention import Intervention, Units
from causal_widget.interventions.layer_part import channels_in, check_plain
from causal_widget.interventions.path_edit import PathEdit
from causal_widget.interventions.path_plan import Piece, TargetPlan, plan_paths
from causal_widget.interventions.piece_change import piece_change
from causal_widget.interventions.running import Lever, intervene
from causal_widget.interventions.seen_maps import Donors, MeanMaps, donors, means
from causal_widget.interventions.unit_edit import UnitEdit

__all__ = [
    "ACTIONS",
    "Action",
    "Constant",
    "Donors",
    "Edits",
    "Intervention",
    "Lever",
    "Mean",
    "MeanMaps",
    "Noise",
    "PathEdit",
    "Piece",
    "Resample",
    "Scale",
    "TargetPlan",
    "UnitEdit",
    "Units",
    "Zero",
    "acted",
    "action_from_json",
    "channels_in",
    "check_plain",
    "donors",
    "edit_from_json",
    "edited",
    "intervene",
    "means",
    "piece_change",
    "plan_paths",
]
