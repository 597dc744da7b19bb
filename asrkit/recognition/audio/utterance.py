"""One recorded utterance and its transcript."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Utterance:
    """A stretch of an audio file and what is said in it.

    Attributes:
        id: unique within a corpus, without spaces.
        audio: path of the audio file.
        start: seconds from the beginning of the file.
        duration: seconds.
        text: the transcript.
        speaker: empty when unknown.
    """

    id: str
    audio: str
    start: float
    duration: float
    text: str
    speaker: str
