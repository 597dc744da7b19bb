"""The parts of a trained model: where they are, and how they are packed."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from asrkit.config import Config, parse_config
from asrkit.errors import ModelError
from asrkit.recognition.bundle import Bundle, pack
from asrkit.recognition.ngram.model import NgramModel
from asrkit.recognition.stored_lm import SPELLINGS, lm_files, read_stored_ngram

CTC_PRIOR = "ctc_prior.json"
MODEL_HINT = "give a .asrkit bundle, an experiment folder or a checkpoint in one"


@dataclass
class Parts:
    """An open model.

    Attributes:
        files: where its parts are, see :func:`find_parts`.
        config: the configuration it was trained with.
        lm: whether its language model is wanted.
        ngram: its n-gram model, if it has one that is wanted, which a thread is reading.
    """

    files: dict[str, Path]
    config: Config
    lm: bool
    ngram: Future[NgramModel] | None


@contextmanager
def open_parts(path: Path, lm: bool = True) -> Iterator[Parts]:
    """Open a model. An n-gram model is read meanwhile, which takes about as long as to import torch.

    Args:
        path: a bundle (file or folder), an experiment folder, or a checkpoint in one.
        lm: with its language model, if it has one.

    Raises:
        ModelError: `path` is none of these, or damaged.
    """
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(1) as beside:
        files = find_parts(path, Path(scratch))
        config = parse_config(files["config.yaml"].read_text(encoding="utf-8"), str(files["config.yaml"]))
        wanted = lm and config.lm.kind.endswith("-ngram")
        ngram = beside.submit(read_stored_ngram, files["lm"]) if wanted else None
        yield Parts(files, config, lm, ngram)


def find_parts(path: Path, scratch: Path) -> dict[str, Path]:
    """Where the parts of a model are: ``config.yaml``, ``cmvn.json``, ``tokenizer``, ``model.safetensors``.

    And where ``lm``, ``labels``, ``tuned.json`` and ``ctc_prior.json`` are, if it has them.

    Args:
        path: a bundle (file or folder), an experiment folder, or a checkpoint in one.
        scratch: receives the content of a bundle.

    Raises:
        ModelError: `path` is none of these.
    """
    if not path.exists():
        raise ModelError(f"the model {path} does not exist", MODEL_HINT)
    if (path.is_file() and path.suffix != ".safetensors") or (path / "manifest.json").is_file():
        Bundle.open(path, contents=False).extract(scratch)
        folder, weights = scratch, scratch / "model.safetensors"
    elif (path / "checkpoints").is_dir():
        folder, weights = path, newest_weights(path / "checkpoints")
    else:
        weights = path if path.is_file() else path / "model.safetensors"
        folder = weights.parent.parent.parent
    needed = {name: folder / name for name in ("config.yaml", "cmvn.json", "tokenizer")}
    needed["model.safetensors"] = weights
    for name, part in needed.items():
        if not part.exists():
            raise ModelError(f"{path} is not a model: {name} is missing", MODEL_HINT)
    return needed | {name: folder / name for name in ("lm", "labels", "tuned.json", CTC_PRIOR)}


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    complete = [p for p in folder.glob("step-*") if (p / "state.json").is_file()]
    return sorted(complete, key=lambda p: int(p.name.removeprefix("step-")))


def newest_weights(folder: Path) -> Path:
    """The averaged weights, or before there are any those of the last checkpoint."""
    averaged = folder / "averaged" / "model.safetensors"
    last = checkpoints(folder)
    return averaged if averaged.exists() or not last else last[-1] / "model.safetensors"


def pack_experiment(folder: Path, out: Path, card: str) -> Path:
    """Pack an experiment's recogniser into one ``.asrkit`` file.

    Args:
        folder: the experiment.
        out: the file to write.
        card: the model card (Markdown).
    """
    with tempfile.TemporaryDirectory() as scratch:
        parts = find_parts(folder, Path(scratch))
        config = parse_config(parts["config.yaml"].read_text(encoding="utf-8"), str(parts["config.yaml"]))
    content: dict[str, Path | bytes] = {name: part for name, part in parts.items() if part.is_file()}
    content |= {f"tokenizer/{p.name}": p for p in sorted(parts["tokenizer"].iterdir())}
    content |= {f"lm/{name}": parts["lm"] / name for name in lm_files(config.lm)}
    if (spellings := parts["lm"] / SPELLINGS).exists():
        content[f"lm/{SPELLINGS}"] = spellings
    if "frame" in config.model.heads:
        content |= {f"labels/{name}": parts["labels"] / name for name in ("labels.txt", "counts.json")}
    return pack({**content, "README.md": card.encode()}, out, {"experiment": folder.name})
