"""asrkit verify: sound models agree; damaged ones, and bugs planted in the fast code, are found and named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import PROMPTS, SENTENCES, Run
from safetensors.torch import load_file, save_file

from asrkit.errors import DataError
from asrkit.learning.features.frontend import Frontend
from asrkit.learning.models.asr import AsrModel
from asrkit.learning.models.encoders import pyramid
from asrkit.recognition import pretrained
from asrkit.recognition.align import ctc as align_ctc
from asrkit.recognition.audio.reading import read_audio
from asrkit.recognition.decoding import ctc_greedy, ctc_kernels, ctc_prefix_beam, ctc_prefix_score
from asrkit.recognition.recognizer import Recognizer
from asrkit.verify import COMPARISONS, verify
from asrkit.verify.subject import torch_acoustics

AUDIO = PROMPTS / "activated.opus"
NAMES = ["weights are finite, below 1e9", *(name for name, _, _, heads in COMPARISONS if heads <= {"ctc"})]


def test_a_sound_model_agrees_on_given_and_on_own_recordings(
    experiment: Path, asrkit: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASRKIT_MODEL", str(experiment / "prompts.asrkit"))
    for files in ((), (AUDIO, SENTENCES / "sense-0880.flac")):
        done = asrkit("verify", *files, "--threads", 1)
        assert done.code == 0 and done.err == "", done.err
        lines = [line for line in done.out.splitlines() if line.endswith("agrees")]
        assert [line[:42].strip() for line in lines] == NAMES
        assert f"{len(files) or 5} recordings" in done.out


def test_what_cannot_be_verified_is_refused(
    experiment: Path, asrkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without_model:
        without_model.setattr(pretrained, "ENGLISH", tmp_path / "none.asrkit")
        done = asrkit("verify", AUDIO)
    assert done.code == 2 and "--model" in done.err
    for audio in (tmp_path / "none.wav", tmp_path):
        done = asrkit("verify", "--model", experiment, audio)
        assert done.code == 1 and str(audio) in done.err and "hint:" in done.err


def test_audio_shorter_than_a_frame_is_refused(recognizer: Recognizer) -> None:
    with pytest.raises(DataError, match="tiny is too short"):
        list(verify(recognizer, {"tiny": np.zeros(100, np.float32)}))


def test_damaged_weights_are_found_and_named(experiment: Path, asrkit: Run, tmp_path: Path) -> None:
    bundle = bytearray((experiment / "prompts.asrkit").read_bytes())
    middle = bundle.index(b"model.safetensors") + 100_000
    bundle[middle] ^= 1
    (tmp_path / "changed.asrkit").write_bytes(bundle)
    done = asrkit("verify", "--model", tmp_path / "changed.asrkit", AUDIO)
    assert done.code == 1 and "changed.asrkit: cannot read model.safetensors" in done.err

    shutil.copytree(experiment, tmp_path / "copy")
    weights = tmp_path / "copy/checkpoints/averaged/model.safetensors"
    content = weights.read_bytes()
    middle = len(content) // 2
    weights.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    done = asrkit("verify", "--model", tmp_path / "copy", AUDIO)
    assert done.code == 1 and "averaged/model.safetensors is damaged" in done.err
    weights.with_suffix(".sha256").unlink()
    weights.write_bytes(content[:middle])
    done = asrkit("verify", "--model", tmp_path / "copy", AUDIO)
    assert done.code == 1 and "averaged/model.safetensors" in done.err

    weights.write_bytes(content)
    tensors = load_file(weights)
    tensors["ctc.weight"][3, 2] = torch.nan
    tensors["ctc.weight"][1, 5] = -torch.inf
    tensors["ctc.weight"][2, 0] = 1e30
    save_file(tensors, weights)
    done = asrkit("verify", "--model", tmp_path / "copy", AUDIO)
    assert done.code == 1
    assert "error: weights are finite, below 1e9: largest difference 3: tensor ctc.weight" in done.err
    assert done.out.count("agrees") == 0 and done.out.count("DIFFERS") == 1


@pytest.fixture(scope="module")
def recognizer(experiment: Path) -> Recognizer:
    """One that says something, though trained for seconds."""
    recognizer = Recognizer.load(experiment, device="cpu", threads=1)
    torch_acoustics(recognizer).model.ctc.bias.data[0] -= 3
    return recognizer


@pytest.fixture(scope="module")
def wave() -> np.ndarray:
    return read_audio(AUDIO)


Patch = Callable[[Any], Any]


def wrong_blank(kernel: Any) -> Any:
    """A decoder that thinks blank a little likelier than it is, in one frame."""

    def kernel_with_bug(log_probs: np.ndarray, *rest: Any) -> Any:
        log_probs = log_probs.copy()
        log_probs[3, 0] += 1e-3
        return kernel(log_probs, *rest)

    return kernel_with_bug


def forgets_a_token(make: Any) -> Any:
    return lambda tokens, *rest: make(tokens[:-1], *rest)


def breaks(_: Any) -> Any:
    def kernel(*_: Any) -> None:
        raise IndexError("list index out of range")

    return kernel


def drops_a_frame(loss: Any) -> Any:
    return lambda self, log_probs, lens, batch: loss(self, log_probs, lens - 1, batch)


def ignores_lengths(reverse: Any) -> Any:
    return lambda x, lens: x.flip(1)


def louder_later(analyse: Any) -> Any:
    return lambda self, frames: analyse(self, frames * torch.linspace(1, 1.01, frames.shape[1])[:, None])


def quieter(analyse: Any) -> Any:
    return lambda self, frames: analyse(self, frames) - 0.01


def shifted(kernel: Any) -> Any:
    """Spans that begin one frame late."""
    return lambda *rest: (kernel(*rest)[0] + [1, 0], kernel(*rest)[1])


BUGS: dict[str, tuple[Any, str, Patch, set[str]]] = {
    "beam": (ctc_prefix_beam, "prefix_beam", wrong_blank, {"prefix beam search = reference"}),
    "crash": (ctc_prefix_beam, "prefix_beam", breaks, {"prefix beam search = reference"}),
    "greedy": (ctc_greedy, "ctc_hypothesis", forgets_a_token, {"greedy search = reference"}),
    "align": (align_ctc, "align", shifted, {"forced alignment = reference"}),
    "joint": (
        ctc_prefix_score,
        "grow",
        wrong_blank,
        {"joint scores, incremental = from scratch", "joint beam search = reference"},
    ),
    "loss": (AsrModel, "ctc_loss", drops_a_frame, {"CTC loss = reference", "CTC gradient = reference"}),
    "padding": (pyramid, "reverse", ignores_lengths, {"padding does not change posteriors"}),
    "frames": (
        Frontend,
        "_analyse",
        louder_later,
        {
            "features = reference",
            "features of single frames = of the whole",
            "padding does not change posteriors",
        },
    ),
    "features": (Frontend, "_analyse", quieter, {"features = reference"}),
}


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_are_found_where_they_are(
    bug: str, recognizer: Recognizer, wave: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, name, patch, expected = BUGS[bug]
    monkeypatch.setattr(place, name, patch(getattr(place, name)))
    wrong = {check.name: check for check in verify(recognizer, {"activated": wave}) if not check.agrees}
    assert set(wrong) == expected
    for check in wrong.values():
        assert "activated" in check.detail or "IndexError: list index out of range" in check.detail


def test_randomness_is_found(recognizer: Recognizer, wave: np.ndarray) -> None:
    model = torch_acoustics(recognizer).model
    model.train()
    try:
        checks = {check.name: check for check in verify(recognizer, {"activated": wave})}
    finally:
        model.eval()
    assert not checks["same audio twice, same posteriors"].agrees


def test_the_command_fails_and_says_where(
    experiment: Path, asrkit: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctc_prefix_beam, "prefix_beam", wrong_blank(ctc_kernels.prefix_beam))
    done = asrkit("verify", "--model", experiment, AUDIO, SENTENCES / "sense-0880.flac")
    assert done.code == 1
    assert done.out.count("DIFFERS") == 1
    error, hint = done.err.splitlines()
    assert error.startswith("error: prefix beam search = reference: largest difference")
    assert "activated.opus, hypothesis" in error or "sense-0880.flac, hypothesis" in error
    assert "docs/reference.md" in hint
