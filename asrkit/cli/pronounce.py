"""asrkit pronounce: grapheme-to-phoneme conversion of words."""

import sys
from pathlib import Path

import click

from asrkit.cli.messages import one_line


@click.command("pronounce")
@click.argument("words", nargs=-1, required=True, metavar="WORD...")
@click.option(
    "--lexicon",
    "path",
    type=click.Path(path_type=Path),
    show_default="CMUdict",
    help="Lexicon: lines of `word p h o n e s`.",
)
@click.option(
    "--nbest", type=click.IntRange(1, 20), default=1, show_default=True, help="Predictions for each new word."
)
@click.option("--stress", is_flag=True, help="Keep stress digits on vowels.")
def command(words: tuple[str, ...], path: Path | None, nbest: int, stress: bool) -> None:
    """Print the pronunciations of each WORD, as lines of a lexicon.

    Words missing from the lexicon are predicted by a model trained on it, and reported on stderr. A word
    with a digit, or a letter that the lexicon lacks, has no prediction; the exit code is then 1.
    """
    from asrkit.recognition.g2p.model import G2p
    from asrkit.recognition.text.lexicon import Lexicon

    listed = Lexicon.read(path, stress=stress) if path else Lexicon.cmudict(stress=stress)
    spoken = {word.upper(): listed.pronounce(word) for word in words}
    missing = [word for word, ways in spoken.items() if not ways]
    if missing:
        click.echo(f"predicted from {len(listed.words):,} words: {one_line(', '.join(missing))}", err=True)
        model = G2p.train(listed)
        spoken |= {word: [phones for phones, _ in model.pronounce(word, nbest)] for word in missing}
    for line in Lexicon({word: ways for word, ways in spoken.items() if ways}).lines():
        click.echo(line)
    if silent := [word for word, ways in spoken.items() if not ways]:
        click.echo(f"no pronunciation: {one_line(', '.join(silent))}", err=True)
        sys.exit(1)
