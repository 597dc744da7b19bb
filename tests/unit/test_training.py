"""Parts of training that need no corpus: schedules, checkpoints, batches."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from asrkit.config import AugmentConfig, ModelConfig, TrainConfig
from asrkit.errors import ModelError
from asrkit.learning.features.cmvn import Cmvn
from asrkit.learning.models.asr import AsrModel, consistency_loss
from asrkit.learning.models.weights import compact, load_weights, save_weights
from asrkit.learning.training.checkpoint import (
    TrainState,
    average,
    load_checkpoint,
    prune,
    read_state,
    save_checkpoint,
    step_folder,
)
from asrkit.learning.training.data import Changes, Item, SpeechSource
from asrkit.learning.training.loop import end_epoch
from asrkit.learning.training.schedule import learning_rate
from asrkit.learning.training.update import preflight
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.parts import checkpoints


@pytest.mark.parametrize("schedule", ["constant", "noam", "onecycle", "plateau"])
def test_schedules_peak_at_the_configured_rate_after_warm_up(schedule: str) -> None:
    config = TrainConfig(lr=0.5, schedule=schedule, warmup_steps=10)
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert max(rates) == pytest.approx(0.5)
    assert rates[0] == pytest.approx(0.05)
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(rates[:10]))


def test_noam_falls_as_the_inverse_square_root() -> None:
    config = TrainConfig(lr=1.0, schedule="noam", warmup_steps=16)
    assert learning_rate(config, 63, 1000) == pytest.approx(math.sqrt(16 / 64))


def test_onecycle_ends_near_zero() -> None:
    config = TrainConfig(lr=1.0, schedule="onecycle", warmup_steps=5)
    assert learning_rate(config, 99, 100) < 1e-3


def test_plateau_halves_the_rate_when_the_dev_error_stalls() -> None:
    config = TrainConfig(schedule="plateau", plateau_patience=1, epochs=99)
    state = TrainState()
    for error in (0.5, 0.6, 0.6, 0.4, 0.5, 0.5):
        end_epoch(state, config, error, over=False)
    assert state.plateau == 0.25
    assert state.best(1) == [0]


def test_early_stopping_counts_epochs_without_improvement() -> None:
    config, state = TrainConfig(early_stop=2, epochs=99), TrainState()
    for error in (0.5, 0.5, 0.6):
        assert not state.finished
        end_epoch(state, config, error, over=False)
    assert state.finished


def small_training() -> tuple[torch.nn.Linear, torch.optim.Optimizer, torch.amp.GradScaler]:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    return model, torch.optim.AdamW(model.parameters()), torch.amp.GradScaler("cpu", enabled=False)


def test_checkpoint_brings_back_model_optimizer_and_state(tmp_path: Path) -> None:
    model, optimizer, scaler = small_training()
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = TrainState(step=1, epoch=2, batch=3, dev=[[1, 0.25]])
    save_checkpoint(tmp_path, model, optimizer, scaler, state)
    other, other_optimizer, _ = small_training()
    loaded = load_checkpoint(step_folder(tmp_path, 1), other, other_optimizer, scaler, torch.device("cpu"))
    assert loaded == state
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert str(optimizer.state_dict()) == str(other_optimizer.state_dict())


def test_half_written_checkpoints_are_not_seen(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, *small_training(), TrainState(step=5))
    (tmp_path / ".step-9.tmp").mkdir()
    (tmp_path / "step-7").mkdir()
    assert [p.name for p in checkpoints(tmp_path)] == ["step-5"]


def test_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    training = small_training()
    save_checkpoint(tmp_path, *training, TrainState(step=5))
    folder = step_folder(tmp_path, 5)
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelError, match="is damaged"):
        load_checkpoint(folder, *training, torch.device("cpu"))
    (folder / "model.sha256").unlink()
    (folder / "model.safetensors").write_bytes(content[:-7])
    with pytest.raises(ModelError, match="cannot load weights"):
        load_checkpoint(folder, *training, torch.device("cpu"))
    (folder / "state.json").write_text("{")
    with pytest.raises(ModelError, match=r"state\.json"):
        read_state(folder)


def test_pruning_keeps_the_last_and_the_best(tmp_path: Path) -> None:
    training = small_training()
    state = TrainState()
    for step, error in ((1, 0.5), (2, 0.1), (3, 0.2), (4, 0.4)):
        state.step = step
        state.dev.append([step, error])
        save_checkpoint(tmp_path, *training, state)
        prune(tmp_path, state, keep=2)
    assert [p.name for p in checkpoints(tmp_path)] == ["step-2", "step-3", "step-4"]


def test_average_is_the_mean(tmp_path: Path) -> None:
    model, optimizer, scaler = small_training()
    weights = []
    for step in (1, 2, 3):
        with torch.no_grad():
            model.weight.add_(step)
        weights.append(model.weight.detach().clone())
        save_checkpoint(tmp_path, model, optimizer, scaler, TrainState(step=step))
    mean = average([step_folder(tmp_path, s) / "model.safetensors" for s in (1, 2, 3)])
    np.testing.assert_allclose(mean["weight"], torch.stack(weights).mean(0), rtol=1e-6)
    assert mean["weight"].dtype == torch.float32


def test_compact_weights(tmp_path: Path) -> None:
    layer = torch.nn.Linear(40, 30)
    with torch.no_grad():
        layer.bias[0] = 1e6
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    small = compact(before)
    assert small["weight"].dtype == torch.float16 and small["bias"].dtype == torch.float32, "1e6 does not fit"
    save_weights(small, tmp_path)
    load_weights(tmp_path / "model.safetensors", layer)
    assert layer.weight.dtype == torch.float32
    torch.testing.assert_close(layer.weight.data, before["weight"], rtol=5e-4, atol=1e-7)
    assert torch.equal(layer.bias.data, before["bias"])


def test_weights_in_eight_bits(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Conv1d(3, 8, 5), torch.nn.LSTM(8, 16), torch.nn.LayerNorm(16))
    weights = model.state_dict()
    with torch.no_grad():
        weights["0.weight"][2] = 0.0
        weights["1.weight_hh_l0"][5] *= 1000
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_weights(compact(before, 8), tmp_path)
    load_weights(tmp_path / "model.safetensors", model)
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == torch.float32 and tensor.isfinite().all()
        error = (tensor - before[name]).abs()
        if tensor.dim() > 1:
            rows = before[name].flatten(1).abs().amax(dim=1)
            assert (error.flatten(1).amax(dim=1) <= 0.501 * rows / 127).all(), name
            assert error.max() > 0, name
        else:
            torch.testing.assert_close(tensor, before[name], rtol=5e-4, atol=1e-7)
    assert torch.equal(model.state_dict()["0.weight"][2], torch.zeros(3, 5))


def test_preflight_names_the_way_out_of_memory() -> None:
    def attempt() -> None:
        torch.empty(1 << 60, dtype=torch.uint8)

    with pytest.raises(ModelError, match=r"7 utterances.*train\.batch_seconds"):
        preflight(attempt, 7)
    with pytest.raises(RuntimeError, match="something else"):
        preflight(lambda: (_ for _ in ()).throw(RuntimeError("something else")), 7)


def test_freed_memory_is_used_again() -> None:
    """Large arrays made after others were freed cost fewer new pages."""
    script = """
import resource, torch
from asrkit.cli.process import keep_freed_memory
torch.set_num_threads(1)
if {kept}: keep_freed_memory()
for _ in range(6): torch.ones(10 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(6): torch.ones(10 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = [
        int(subprocess.run([sys.executable, "-c", script.format(kept=kept)], capture_output=True).stdout)
        for kept in (False, True)
    ]
    assert faults[1] < 0.7 * faults[0], faults


class Waves:
    """Features of two utterances, in memory."""

    def read(self, utterance: str, speed: float = 1.0) -> np.ndarray:
        return np.random.default_rng(len(utterance)).normal(size=(50 * len(utterance), 8)).astype(np.float32)


def test_two_views_of_a_batch() -> None:
    utterances = [Utterance(id, "", 0.0, 1.0, "", "") for id in ("a", "bb")]
    source = SpeechSource(utterances, [[1, 2], [3]], Waves(), Cmvn("none", None))
    items, augment = [Item(0, 1.0), Item(1, 1.0)], AugmentConfig(volume_db=3.0, freq_width=3)
    one, two = (source.batch(items, Changes(augment, 1, 2, n)) for n in (1, 2))
    assert two.ids == ["a", "bb", "a", "bb"] and two.views == 2 and two.seconds == one.seconds == 2
    assert two.feat_lens.tolist() == [50, 100, 50, 100] and two.token_lens.tolist() == [2, 1, 2, 1]
    torch.testing.assert_close(two.feats[:2], one.feats, rtol=0, atol=0)
    assert not torch.equal(two.feats[2:], one.feats)
    plain = source.batch(items, Changes(views=2))
    torch.testing.assert_close(plain.feats[2:], plain.feats[:2], rtol=0, atol=0)


def test_consistency_is_the_divergence_of_each_frame() -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(4, 6, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    lens = torch.tensor([6, 4, 6, 4])
    log_probs = logits.log_softmax(dim=2)
    actual = consistency_loss(log_probs, lens)
    p = log_probs.detach().exp().numpy()
    for row, other in ((0, 2), (1, 3), (2, 0), (3, 1)):
        frames = slice(0, int(lens[row]))
        expected = (p[other, frames] * np.log(p[other, frames] / p[row, frames])).sum()
        assert float(actual[row].detach()) == pytest.approx(expected)
    torch.autograd.backward(actual.sum())
    # The other view is a target: the gradient is the difference of the posteriors, as of a cross-entropy.
    assert logits.grad is not None
    difference = p[0] - p[2]
    np.testing.assert_allclose(logits.grad[0].numpy(), difference, atol=1e-12)
    assert (logits.grad[1, 4:] == 0).all()


def test_the_loss_of_two_views_is_their_mean() -> None:
    config = ModelConfig(consistency=0.0)
    config.pyramid.hidden = config.pyramid.embed_channels = 8
    torch.manual_seed(0)
    model = AsrModel(config, 8, 5)
    utterances = [Utterance(id, "", 0.0, 1.0, "", "") for id in ("a", "bb")]
    source = SpeechSource(utterances, [[1, 2], [3]], Waves(), Cmvn("none", None))
    items = [Item(0, 1.0), Item(1, 1.0)]
    model.eval()
    one, two = (model.loss(source.batch(items, Changes(views=n))) for n in (1, 2))
    assert two.weight == one.weight == 2
    torch.testing.assert_close(two.total, one.total)
    config.consistency = 0.5
    batch = source.batch(items, Changes(AugmentConfig(freq_width=3), views=2))
    weighted = model.loss(batch)
    config.consistency = 0.0
    plain = model.loss(batch)
    assert float(weighted.parts["consistency"]) > 0
    torch.testing.assert_close(weighted.total - plain.total, 0.5 * weighted.parts["consistency"])
    assert weighted.utterances.shape == (4,) and math.isfinite(float(weighted.total.detach()))
