"""Which device a word means, and what is said where there is none."""

from __future__ import annotations

import psutil
import pytest
import torch
from torch import nn

from causal_widget.devices import list_devices, resolve_device
from causal_widget.errors import DeviceError


def test_the_host_comes_first_with_its_memory():
    host = list_devices()[0]
    assert host.name == "cpu"
    assert host.memory_bytes == pytest.approx(psutil.virtual_memory().total, rel=0.01)
    assert host.free_bytes == pytest.approx(psutil.virtual_memory().available, rel=0.2)


@pytest.mark.parametrize("asked", ["cpu", torch.device("cpu"), "cpu:0"])
def test_words_and_devices(asked):
    assert resolve_device(asked) == torch.device("cpu")


def test_none_stays_where_the_model_is():
    assert resolve_device(None, nn.Linear(2, 2, device="meta")) == torch.device("meta")
    assert resolve_device(None) == torch.device("cpu")


def test_auto_is_one_of_those_listed():
    assert str(resolve_device("auto")) in {info.name for info in list_devices()}


@pytest.mark.parametrize(
    "asked,words", [("cuda:77", "absent; here are: cpu"), ("gpu", "not known"), ("cpuu", '"cpu"')]
)
def test_what_is_not_there_is_said(asked, words):
    with pytest.raises(DeviceError, match=words):
        resolve_device(asked)
