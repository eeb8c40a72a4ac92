"""Responses: what each unit says about each image, reduced to moments in one pass."""

from causal_widget.responses.arm import Arm
from causal_widget.responses.collect import Sink, collect
from causal_widget.responses.collection import Collection
from causal_widget.responses.evaluation import Evaluation
from causal_widget.responses.interventional import Gap, InterventionalMoments
from causal_widget.responses.layout import Layout, Reading, layout_of
from causal_widget.responses.loaders import Batch, batches, check_range, count_images, first_images
from causal_widget.responses.moments import Moments
from causal_widget.responses.paired import Paired, paired
from causal_widget.responses.randomised import Draw, RandomInterventions
from causal_widget.responses.raw import RawResponses, raw_bytes
from causal_widget.responses.response_set import ResponseSet
from causal_widget.responses.source import Source, read_responses
from causal_widget.responses.split import Split
from causal_widget.responses.tables import ResponseTable
from causal_widget.responses.transforms import (
    TRANSFORMS,
    Binary,
    Custom,
    Frobenius,
    Grid,
    MapFunction,
    Maximum,
    Mean,
    Parts,
    SpatialVariance,
    Transform,
    frobenius,
    get_transform,
)

__all__ = [
    "TRANSFORMS",
    "Arm",
    "Batch",
    "Binary",
    "Collection",
    "Custom",
    "Draw",
    "Evaluation",
    "Frobenius",
    "Gap",
    "Grid",
    "InterventionalMoments",
    "Layout",
    "MapFunction",
    "Maximum",
    "Mean",
    "Moments",
    "Paired",
    "Parts",
    "RandomInterventions",
    "RawResponses",
    "Reading",
    "ResponseSet",
    "ResponseTable",
    "Sink",
    "Source",
    "SpatialVariance",
    "Split",
    "Transform",
    "batches",
    "check_range",
    "collect",
    "count_images",
    "first_images",
    "frobenius",
    "get_transform",
    "layout_of",
    "paired",
    "raw_bytes",
    "read_responses",
]
