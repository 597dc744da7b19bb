"""Loss and error rate on the dev set, after each epoch."""

from collections.abc import Sequence

import torch
from rapidfuzz.distance import Levenshtein

from asrkit.config import TrainConfig
from asrkit.learning.hardware import autocast
from asrkit.learning.lm.neural import NeuralLm
from asrkit.learning.models.asr import Batch
from asrkit.learning.training import processes
from asrkit.learning.training.data import Source
from asrkit.learning.training.update import Trainable
from asrkit.parallel import ahead
from asrkit.recognition.decoding.ctc_greedy import ctc_greedy_search


@torch.no_grad()
def evaluate(
    model: Trainable, dev_set: Source, config: TrainConfig, device: torch.device, precision: torch.dtype
) -> tuple[float, float]:
    """Mean loss per utterance and error rate on `dev_set`, of which each process takes a share.

    With CTC alone, the error rate is that of greedy decoding. For other heads, and language models, it is the
    share of labels that the model does not rank first: of tokens, given those before, or of frames.
    """
    model.eval()
    loss, errors, counted = 0.0, 0, 0
    rank, world = processes.start_processes()
    plan = dev_set.plan(config.batch_seconds, shuffle=False)[rank::world]
    for items, batch in zip(plan, ahead(dev_set.batch, plan, config.loaders), strict=True):
        references = [dev_set.tokens[index] for index, _ in items]
        with autocast(device, precision):
            batch_loss, batch_errors, labels = measure(model, batch.to(device), references)
        loss, errors, counted = loss + batch_loss, errors + batch_errors, counted + labels
    model.train()
    loss, wrong, asked = processes.total([loss, errors, counted], device)
    return loss / max(1, len(dev_set.utterances)), wrong / max(1.0, asked)


def measure(model: Trainable, batch: Batch, references: Sequence[list[int]]) -> tuple[float, int, int]:
    """Loss summed over a batch, errors, and the number of labels they are counted over."""
    if isinstance(model, NeuralLm):
        loss = model.loss(batch).total.item()
        scores, targets = model.expected(batch)
    else:
        encoded = model.encode(batch.feats, batch.feat_lens)
        loss = model.loss(batch, encoded).total.item()
        if model.heads == {"ctc"}:
            log_probs, lens = model.ctc_log_probs(encoded)
            nbests = ctc_greedy_search(log_probs.cpu().numpy(), lens.cpu().numpy(), frame_seconds=1.0)
            pairs = zip(references, nbests, strict=True)
            errors = sum(Levenshtein.distance(tokens, nbest[0].tokens) for tokens, nbest in pairs)
            return loss, errors, sum(map(len, references))
        scores, targets = model.expected(batch, encoded)
    wrong = (scores.argmax(dim=-1) != targets) & (targets >= 0)
    return loss, int(wrong.sum()), int((targets >= 0).sum())
