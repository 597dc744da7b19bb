"""Stages that use what was trained: tune, decode, score, pack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asrkit.learning.recipe.layout import (
    Prints,
    bundle_path,
    checked,
    decode_folder,
    decoders,
    reported_sets,
    tuned,
    utterances_of,
)
from asrkit.learning.recipe.workspace import Workspace
from asrkit.progress import tell, track

if TYPE_CHECKING:
    from asrkit.recognition.audio.utterance import Utterance
    from asrkit.recognition.recognizer import Recognizer

SHOWN = 20  # unreadable utterances that are printed


def tune(workspace: Workspace, prints: Prints) -> None:
    """Choose the decoding weights of ``decode.tune`` with the fewest errors on the dev sets."""
    from asrkit.learning.data.manifest import read_manifest
    from asrkit.learning.recipe.tune import tune_weights
    from asrkit.recognition.recognizer import Recognizer

    recognizer = Recognizer.load(workspace.folder, device=workspace.device)
    recognizer.settings = workspace.config.decode
    tune_weights(
        recognizer,
        read_manifest(checked(workspace, "dev")),
        workspace.config.decode.tune,
        workspace.config.score.units[0],
        tuned(workspace),
    )


def decode(workspace: Workspace, prints: Prints) -> None:
    """Decode the dev and test sets from audio, as `asrkit decode` does."""
    from dataclasses import replace

    from asrkit.recognition.recognizer import Recognizer
    from asrkit.recognition.writers.transcripts import write_decoded

    recognizer = Recognizer.load(workspace.folder, device=workspace.device)
    settings = recognizer.settings
    for decoder in decoders(workspace):
        recognizer.settings = replace(settings, decoder=decoder)
        for name in reported_sets(workspace):
            utterances = sorted(utterances_of(workspace, prints, [name]), key=lambda u: u.duration)
            results = track(recognizer.transcribe_many(utterances), f"{decoder} {name}", len(utterances))
            failed = write_decoded(decode_folder(workspace, decoder, name), utterances, results)
            if failed:
                tell(f"  {name}: {len(failed)} utterances could not be read and count as empty")
            for line in failed[:SHOWN]:
                tell(f"    {line}")
    if recognizer.labels is not None:
        for name in reported_sets(workspace):
            write_frames(workspace, recognizer, name, utterances_of(workspace, prints, [name]))


def write_frames(
    workspace: Workspace, recognizer: Recognizer, name: str, utterances: list[Utterance]
) -> None:
    """Write the likeliest label of each frame of a set, for comparison with its alignment."""
    from asrkit.recognition.text.labels import write_labels

    assert recognizer.labels is not None
    labels = (
        (utterance.id, recognizer.frame_log_probs(wave).argmax(axis=1))
        for utterance, wave in recognizer.waves(track(utterances, f"frames {name}"))
    )
    write_labels(decode_folder(workspace, "frames", name) / "hyp.txt.gz", recognizer.labels, labels)


def score(workspace: Workspace, prints: Prints) -> None:
    """Count errors; write the detailed reports and RESULTS.md."""
    from asrkit.learning.recipe.scoring import score_recipe, write_submissions

    sets = {name: utterances_of(workspace, prints, [name]) for name in workspace.sets}
    scored = [name for name in reported_sets(workspace) if any(u.text for u in sets[name])]
    decoded = {
        (decoder, name): decode_folder(workspace, decoder, name)
        for decoder in decoders(workspace)
        for name in scored
    }
    for line in score_recipe(workspace, decoded, sets):
        tell(f"  {line}")
    for name in set(reported_sets(workspace)) - set(scored):
        tell(f"  {name}: no references, not scored")
    for path in write_submissions(workspace, sets):
        tell(f"  submission: {path}")


def pack(workspace: Workspace, prints: Prints) -> None:
    """Pack the recogniser into one file."""
    from asrkit.learning.recipe.scoring import model_card
    from asrkit.recognition.parts import pack_experiment

    tell(f"  {pack_experiment(workspace.folder, bundle_path(workspace), model_card(workspace))}")
