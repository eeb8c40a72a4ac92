"""Transforms (phi): what turns a unit's activation map into its response, one file a transform."""

from causal_widget.responses.transforms.base import MapFunction, Transform
from causal_widget.responses.transforms.binary import Binary
from causal_widget.responses.transforms.custom import Custom
from causal_widget.responses.transforms.frobenius_norm import Frobenius
from causal_widget.responses.transforms.grid import Grid
from causal_widget.responses.transforms.maximum import Maximum
from causal_widget.responses.transforms.names import TRANSFORMS, get_transform
from causal_widget.responses.transforms.parts import Parts
from causal_widget.responses.transforms.signed_mean import Mean
from causal_widget.responses.transforms.variance import SpatialVariance

frobenius = Frobenius()
mean = Mean()

__all__ = [
    "TRANSFORMS",
    "Binary",
    "Custom",
    "Frobenius",
    "Grid",
    "MapFunction",
    "Maximum",
    "Mean",
    "Parts",
    "SpatialVariance",
    "Transform",
    "frobenius",
    "get_transform",
    "mean",
]
