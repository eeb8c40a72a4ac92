"""Effects on networks whose answers are known, or measured by a plain loop."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from causal_widget.effects import Effect, Evaluation, effect_of, evaluate
from causal_widget.errors import (
    ArgumentError,
    Cancelled,
    DataError,
    DeviceError,
    NonFiniteError,
    UnsupportedModelError,
)
from causal_widget.graph import trace
from causal_widget.interventions import Intervention
from causal_widget.jobs import Progress
from tests.interventions.networks import Known, Plain, Residual, fingerprint, images, seeded


def loader(
    model: nn.Module, x: Tensor, wrong: int = 3, batch: int = 5, shuffle: bool = False
) -> DataLoader[object]:
    """Label images with the network's own answer, but for the first few."""
    with torch.no_grad():
        labels = model(x).argmax(1)
        labels[:wrong] = (labels[:wrong] + 1) % int(labels.max() + 1)
    return DataLoader(TensorDataset(x, labels), batch_size=batch, shuffle=shuffle)


def test_on_a_network_known_by_heart() -> None:
    """Images are constants c, logits (max(c, 0), max(-c, 0)); do(unit 0 = 0) takes the first logit away."""
    values = torch.tensor([2.0, 1.0, -1.0, -3.0])
    x = values.view(4, 1, 1, 1).expand(4, 1, 3, 3).contiguous()
    model, labels = Known().eval(), torch.tensor([0, 0, 1, 0])
    effect = effect_of(model, trace(model, x), Intervention({"conv": [0]}), [(x, labels)])
    np.testing.assert_allclose(effect.before.logits, [[2, 0], [1, 0], [0, 1], [0, 3]])
    np.testing.assert_allclose(effect.after.logits, [[0, 0], [0, 0], [0, 1], [0, 3]])
    assert effect.before.accuracy == effect.after.accuracy == 0.75  # a tie goes to the first class
    assert effect.flipped == 0
    first, second = effect.classes
    assert first.logit.change == pytest.approx(-0.75)
    assert first.logit.se == pytest.approx(np.std([-2, -1, 0, 0], ddof=1) / 2)
    assert (second.logit.change, second.logit.se) == (0, 0)
    assert (first.n, second.n) == (3, 1)
    losses = [
        math.log(1 + math.exp(-2)),
        math.log(1 + math.exp(-1)),
        math.log(1 + math.exp(-1)),
        math.log(1 + math.exp(3)),
    ]
    assert effect.before.loss == pytest.approx(np.mean(losses))
    assert effect.loss is not None
    assert effect.loss.after == pytest.approx(np.mean([math.log(2), math.log(2), *losses[2:]]))
    assert first.probability.change == pytest.approx(
        np.mean([0.5 - 1 / (1 + math.exp(-2)), 0.5 - 1 / (1 + math.exp(-1)), 0, 0])
    )


def test_a_constant_flips_predictions() -> None:
    x = torch.tensor([2.0, 1.0, -1.0, -3.0]).view(4, 1, 1, 1)
    model = Known().eval()
    effect = effect_of(
        model, trace(model, x), Intervention({"conv": [1]}, 2.5), [(x, torch.tensor([0, 0, 1, 1]))]
    )
    assert effect.flipped == 2
    assert effect.accuracy is not None
    assert effect.accuracy.change == pytest.approx(-0.5)
    assert effect.accuracy.se == pytest.approx(np.std([-1, -1, 0, 0], ddof=1) / 2)
    assert [one.accuracy.change for one in effect.classes if one.accuracy] == [-1.0, 0.0]


def test_all_numbers_against_a_plain_loop() -> None:
    model, x = seeded(Residual), images(23)
    data, units = loader(model, x), [0, 5]
    effect = effect_of(model, trace(model, x), Intervention({"block2.conv2": units}), data)
    handle = model.block2.bn2.register_forward_hook(
        lambda _, __, out: out.index_fill(1, torch.tensor(units), 0.0)
    )
    with torch.no_grad():
        after = torch.cat([model(a) for a, _ in data]).double()
        handle.remove()
        before = torch.cat([model(a) for a, _ in data]).double()
    labels = torch.cat([b for _, b in data])
    np.testing.assert_array_equal(effect.before.logits, before.numpy())
    np.testing.assert_array_equal(effect.after.logits, after.numpy())
    cross = nn.functional.cross_entropy
    difference = cross(after, labels, reduction="none") - cross(before, labels, reduction="none")
    assert effect.loss is not None
    assert effect.loss.change == pytest.approx(float(difference.mean()))
    assert effect.loss.se == pytest.approx(float(difference.std() / len(x) ** 0.5))
    assert effect.flipped == int((before.argmax(1) != after.argmax(1)).sum())
    for k, one in enumerate(effect.classes):
        own = labels == k
        assert one.n == int(own.sum())
        if one.n and one.accuracy is not None:
            assert one.accuracy.before == pytest.approx(
                float((before.argmax(1) == labels)[own].double().mean())
            )


def test_nothing_set_is_no_effect() -> None:
    model, x = seeded(Plain), images()
    effect = effect_of(model, trace(model, x), Intervention({}), loader(model, x))
    np.testing.assert_array_equal(effect.before.logits, effect.after.logits)
    assert effect.accuracy is not None
    assert (effect.accuracy.change, effect.accuracy.se, effect.flipped) == (0, 0, 0)


def test_shuffling_and_augmenting_loaders_are_paired() -> None:
    model, x = seeded(Plain), images(40)
    graph, setting = trace(model, x), Intervention({"conv1": [2]})
    plain = effect_of(model, graph, setting, loader(model, x))
    shuffled = effect_of(model, graph, setting, loader(model, x, shuffle=True))
    assert plain.loss is not None
    assert shuffled.loss is not None
    assert shuffled.loss.se == pytest.approx(plain.loss.se)
    assert shuffled.loss.change == pytest.approx(plain.loss.change)


def test_a_baseline_is_reused_and_must_be_of_the_same_images() -> None:
    model, x = seeded(Plain), images(20)
    graph, setting, data = trace(model, x), Intervention({"conv1": [2]}), loader(model, x)
    baseline = evaluate(model, data, class_names=["a", "b", "c", "d"])
    again, whole = (
        effect_of(model, graph, setting, data, baseline=baseline),
        effect_of(model, graph, setting, data),
    )
    assert again.before is baseline
    assert again.loss == whole.loss
    assert again.classes[1].name == "b"
    with pytest.raises(DataError, match=r"\(20, 4\)"):
        effect_of(model, graph, setting, loader(model, x[:10]), baseline=baseline)
    with pytest.raises(DataError, match="other labels"):
        effect_of(model, graph, setting, loader(model, x, wrong=9), baseline=baseline)
    with pytest.raises(DataError, match="both"):
        effect_of(model, graph, setting, [x], baseline=baseline)


def test_without_labels_there_are_logits_and_no_accuracy() -> None:
    model, x = seeded(Plain), images()
    effect = effect_of(model, trace(model, x), Intervention({"conv1": [0]}), [x[:5], x[5:]])
    assert effect.accuracy is None
    assert effect.loss is None
    assert effect.classes[0].accuracy is None
    assert effect.n == len(x)
    assert "accuracy" not in repr(effect)
    assert "before" not in effect.table().columns
    assert evaluate(model, [x]).accuracy is None


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        ([], DataError, "empty"),
        ([(images(4), torch.tensor([0, 1, 2, 4]))], DataError, "4"),
        ([(images(4), torch.tensor([0, 1, 2, -1]))], DataError, "-1"),
        ([(images(4), torch.tensor([0, 1, 2]))], DataError, "labels"),
        ([(images(4, channels=2), torch.zeros(4).long())], DataError, r"\(2, 12, 12\).*\(3, 12, 12\)"),
        ([(images(4) * math.nan, torch.zeros(4).long())], NonFiniteError, "atch 0"),
        ([(images(4), torch.zeros(4).long()), images(4)], DataError, "1 of 2"),
    ],
)  # fmt: skip
def test_bad_data_is_refused_and_nothing_changes(
    data: list[object], error: type[Exception], says: str
) -> None:
    model = seeded(Plain).train()
    graph = trace(model, images())
    before = fingerprint(model)
    with pytest.raises(error, match=says):
        effect_of(model, graph, Intervention({"conv1": [0]}), data)
    assert fingerprint(model) == before


class Odd(nn.Module):
    def __init__(self, answer: object) -> None:
        super().__init__()
        self.conv, self.answer = nn.Conv2d(3, 2, 1), answer

    def forward(self, x: Tensor) -> object:
        logits = self.conv(x).mean((2, 3))
        return {"tuple": (logits, logits), "maps": self.conv(x), "nan": logits / 0 * 0}[str(self.answer)]


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ("tuple", UnsupportedModelError, "tuple"),
        ("maps", UnsupportedModelError, r"\(12, 2, 12, 12\)"),
        ("nan", NonFiniteError, "batch 0"),
    ],
)
def test_outputs_that_are_no_logits_are_refused(answer: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        evaluate(Odd(answer), [images()])


def test_a_loader_that_raises_leaves_the_model_alone() -> None:
    model = seeded(Plain).train()

    def broken() -> Iterator[Tensor]:
        yield images()
        raise OSError("disk gone")

    before = fingerprint(model)
    with pytest.raises(DataError, match="disk gone"):
        evaluate(model, broken())
    assert fingerprint(model) == before


def test_progress_counts_both_passes_and_cancels() -> None:
    model, x = seeded(Plain).train(), images(20)
    graph, data, before = trace(model, x), loader(model, x), fingerprint(model)
    ticks = []
    effect_of(model, graph, Intervention({"conv1": [0]}), data, Progress(ticks.append, interval=0))
    assert (ticks[0].total, ticks[-1].done, ticks[-1].unit) == (40, 40, "images")
    stop = threading.Event()
    seen = []

    def listen(tick: object) -> None:
        seen.append(tick)
        if len(seen) == 3:
            stop.set()

    with pytest.raises(Cancelled):
        effect_of(model, graph, Intervention({"conv1": [0]}), data, Progress(listen, stop, interval=0))
    assert len(seen) < 9
    assert fingerprint(model) == before


def test_memory_that_is_too_small_halves_the_batch_and_says_so() -> None:
    model, x = seeded(Plain), images(16)
    expected = evaluate(model, [x]).logits

    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 4:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return self.inner(x)

    with pytest.warns(UserWarning, match="16 images: going on with 8"):
        found = evaluate(Small(), [x]).logits
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_results_say_themselves_and_escape_names() -> None:
    model, x = seeded(Plain), images(20)
    names = ["<script>alert(1)</script>", "b", "c", "d"]
    effect = effect_of(
        model, trace(model, x), Intervention({"conv1": [0]}), loader(model, x), class_names=names
    )
    assert "<script>" not in effect._repr_html_()
    assert "&lt;script&gt;" in effect._repr_html_()
    assert "predictions changed" in repr(effect)
    assert list(effect.table()["class"]) == names
    assert list(effect.summary().index) == ["accuracy", "loss"]
    table = effect.before.table()
    assert table["images"].sum() == 20
    assert table["predicted"].sum() == 20
    assert "accuracy" in repr(effect.before)
    assert len(effect.plot().axes) == 2
    with pytest.raises(ArgumentError, match="3 class names for the 4 classes"):
        evaluate(model, [x], class_names=names[:3])


def test_large_logits_do_not_overflow() -> None:
    found = Evaluation(np.array([[1e4, 0.0], [-1e4, 0.0]]), np.array([1, 1]), ("a", "b"))
    assert found.loss == pytest.approx(5000)
    assert np.isfinite(found.probabilities).all()
    assert isinstance(Effect(Intervention({}), found, found).flipped, int)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_images_take_the_type_of_the_weights(dtype: torch.dtype) -> None:
    model, x = seeded(Plain), images()
    expected = evaluate(model, [x]).logits
    found = evaluate(seeded(Plain).to(dtype), [x])
    assert found.logits.dtype == np.float64
    np.testing.assert_allclose(found.logits, expected, atol=1e-5 if dtype is torch.float64 else 0.1)


def test_wrapped_models_are_run_bare() -> None:
    model, x = seeded(Plain), images()
    graph, setting = trace(model, x), Intervention({"conv1": [0]})
    wrapped = nn.DataParallel(model)
    np.testing.assert_array_equal(
        effect_of(wrapped, graph, setting, [x]).after.logits,
        effect_of(model, graph, setting, [x]).after.logits,
    )
    with pytest.raises(UnsupportedModelError, match="str"):
        evaluate("model", [x])  # type: ignore[arg-type]


class Starved(nn.Module):
    """Runs out of memory above so many images."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.most = seeded(Plain), 99

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        answer: Tensor = self.inner(x)
        return answer


def test_memory_too_small_for_one_image_is_no_fault_of_its_size() -> None:
    model = Starved()
    graph = trace(model, images())
    model.most = 0
    with pytest.raises(DeviceError, match="single image"), pytest.warns(UserWarning, match="going on"):
        effect_of(model, graph, Intervention({"inner.conv1": [0]}), [images(2)[..., :10]])


def test_an_output_that_is_no_logits_is_no_fault_of_the_images_size() -> None:
    model = Odd("maps")
    plain = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model.add_module("0", model.conv)
    graph = trace(plain, images())
    with pytest.raises(UnsupportedModelError, match=r"\(12, 2, 10, 10\)"):
        effect_of(model, graph, Intervention({}), [images()[..., :10, :10]])


def test_a_loader_that_asks_the_network_itself_meets_it_without_the_intervention() -> None:
    model, x = seeded(Plain), images(20)
    graph, cut = trace(model, x), Intervention({"conv2": range(8)}, -5.0)

    def answers() -> Iterator[tuple[Tensor, Tensor]]:
        for part in x.split(5):
            yield part, model(part).argmax(1)

    effect = effect_of(model, graph, cut, answers())
    assert effect.flipped > 0, "the test would not notice"
    assert effect.before.accuracy == 1
