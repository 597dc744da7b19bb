"""The folders of one experiment, and the arguments of every stage."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from asrkit.config import Config
from asrkit.errors import DataError


@dataclass(frozen=True)
class Workspace:
    """One run of a recipe: its configuration, folders and options.

    Attributes:
        config: the whole configuration.
        recipe: the folder of ``recipe.yaml``.
        exp: ``exp/<recipe>``, shared by all tags.
        tag: the experiment's name.
        data_root: folder of corpora (``--data``), or None.
        device: ``auto``, ``cpu``, ``cuda``.
        processes: training processes to start, one per GPU.
        force: run stages that are up to date, and train from the start.
        command: the command line, for RESULTS.md.
    """

    config: Config
    recipe: Path
    exp: Path
    tag: str
    data_root: Path | None = None
    device: str = "auto"
    processes: int = 1
    force: bool = False
    command: str = ""

    @property
    def folder(self) -> Path:
        """``exp/<recipe>/<tag>``: everything that belongs to this experiment alone."""
        return self.exp / self.tag

    def shared(self, kind: str, fingerprint: str) -> Path:
        """``exp/<recipe>/data/<kind>-<fingerprint>``: data that experiments of equal settings share."""
        return self.exp / "data" / f"{kind}-{fingerprint[:10]}"

    @property
    def sets(self) -> list[str]:
        """All subsets, each once: train, dev, test."""
        corpus = self.config.corpus
        return list(dict.fromkeys([*corpus.train, *corpus.dev, *corpus.test]))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lock an experiment against other processes; the lock of a killed one is released.

    Raises:
        DataError: it is locked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("ab") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(
                f"another asrkit process is using {folder}",
                "wait for it, or name this experiment: --tag NAME",
            ) from None
        except (ImportError, OSError):
            pass  # Windows, or a file system without locks
        yield
