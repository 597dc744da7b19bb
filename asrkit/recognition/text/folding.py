"""The 39 phones in which TIMIT is scored, and how larger phone sets fold into them."""

from collections.abc import Iterable

from asrkit.errors import DataError
from asrkit.recognition.text.lexicon import STRESS

FOLD48 = {
    "ux": "uw",
    "axr": "er",
    "ax-h": "ax",
    "em": "m",
    "nx": "n",
    "eng": "ng",
    "hv": "hh",
    **dict.fromkeys(("pcl", "tcl", "kcl"), "cl"),
    **dict.fromkeys(("bcl", "dcl", "gcl"), "vcl"),
    **dict.fromkeys(("h#", "pau", "<sil>", "[sil]"), "sil"),
}
"""TIMIT's 61 phones as the 48 that models are trained on; the others are among them, but for DROPPED."""

FOLD39 = {
    **dict.fromkeys(("cl", "vcl", "epi"), "sil"),
    "el": "l",
    "en": "n",
    "zh": "sh",
    "ao": "aa",
    "ix": "ih",
    "ax": "ah",
}
"""Of the 48, those that count as another when errors are counted."""

DROPPED = "q"  # the glottal stop
KEPT = "<unk>"
PHONES39 = [
    "aa", "ae", "ah", "aw", "ay", "b", "ch", "d", "dh", "dx", "eh", "er", "ey",
    "f", "g", "hh", "ih", "iy", "jh", "k", "l", "m", "n", "ng", "ow", "oy",
    "p", "r", "s", "sh", "sil", "t", "th", "uh", "uw", "v", "w", "y", "z",
]  # fmt: skip


def fold39(phones: Iterable[str]) -> list[str]:
    """Phones of TIMIT (61 or 48) or of CMUdict, as the 39 of TIMIT's scoring, in small letters.

    Lee & Hon, "Speaker-Independent Phone Recognition Using Hidden Markov Models", IEEE Transactions on
    Acoustics, Speech, and Signal Processing 37(11), 1989; phone for phone the same as Kaldi's
    ``egs/timit/s5/conf/phones.60-48-39.map``. The glottal stop and stress digits are removed.
    CMUdict has neither ``dx`` nor silence; its ``AO`` and ``ZH`` become ``aa`` and ``sh``. ``<unk>`` stays.

    Raises:
        DataError: a phone of neither.
    """
    folded: list[str] = []
    for phone in phones:
        name = STRESS.sub("", phone).lower()
        if name == DROPPED:
            continue
        name = FOLD48.get(name, name)
        name = FOLD39.get(name, name)
        if name not in PHONES39 and name != KEPT:
            raise DataError(f"{phone!r} is no phone of TIMIT or CMUdict", "leave their errors unfolded")
        folded.append(name)
    return folded
