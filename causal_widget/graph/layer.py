"""One call of a module that owns units."""

from __future__ import annotations

from dataclasses import dataclass, field

from causal_widget.errors import UnknownNameError, nearest

SITES = ("conv", "norm", "activation")


@dataclass(frozen=True)
class Step:
    """One function call that reads a layer's own tensor, as it was seen while the model was traced.

    Attributes
    ----------
    function : str
        The function's name, to recognise the call when the model runs again.
    owned : bool
        Whether its result still holds this layer's units and nothing else, one channel a unit.
    sites : tuple of str
        The sites that its result is.
    """

    function: str
    owned: bool
    sites: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layer:
    """One call of a convolution or a linear layer, whose output channels are units.

    Attributes
    ----------
    index : int
        Position in forward order.
    name : str
        The module's path in the model; the second call of one module is ``"path#2"``.
    module : str
        The module's path.
    call : int
        Which call of the module in one forward pass, from 0.
    kind : {"conv", "linear", "output"}
        ``"output"`` stands for the model's own output where no layer's output is it (a pooling or a softmax
        comes after the last layer); its units are the classes.
    units : int
        Number of output channels.
    unit_axis : int
        The axis of the units in the layer's output tensor, counted from the end: -3 for a 2-d convolution.
    shape : tuple of int
        Shape of the output for one image, at the image size that was traced.
    groups : int
        Groups of a convolution, 1 for other layers.
    inputs : int
        Number of input channels or features.
    is_output : bool
        Whether the units are the classes.
    sites : tuple of str
        Which of ``"conv"``, ``"norm"``, ``"activation"`` this layer has, in this order.
    norm : str or None
        Path of the normalisation module at the ``"norm"`` site, None where there is none or it is functional.
    steps : tuple of Step
        What reads the layer's own tensor on the way to its last site.
    """

    index: int
    name: str
    module: str
    call: int
    kind: str
    units: int
    unit_axis: int
    shape: tuple[int, ...]
    groups: int = 1
    inputs: int = 0
    is_output: bool = False
    sites: tuple[str, ...] = ("conv",)
    norm: str | None = None
    steps: tuple[Step, ...] = field(default=(), repr=False)

    def site(self, asked: str) -> str:
        """Give the last site that this layer has, at or before the asked one.

        A convolution whose normalised output is added to a shortcut before any nonlinearity has no
        activation of its own: its last site is ``"norm"``.

        Parameters
        ----------
        asked : {"conv", "norm", "activation"}
            The site a person named.

        Raises
        ------
        UnknownNameError
            If the word is no site.
        """
        if asked not in SITES:
            raise UnknownNameError(
                f'site "{asked}" does not exist; expected one of {SITES}.{nearest(asked, SITES)}'
            )
        return [site for site in SITES[: SITES.index(asked) + 1] if site in self.sites][-1]
