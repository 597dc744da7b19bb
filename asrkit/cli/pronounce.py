"""asrkit pronounce: words in, their phones out."""

from __future__ import annotations

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
    help="Lines of `word p h o n e s`.  [default: CMUdict]",
)
@click.option(
    "--nbest", type=click.IntRange(1, 20), default=1, show_default=True, help="Predictions for each new word."
)
@click.option("--stress", is_flag=True, help="Keep stress digits on vowels.")
def command(words: tuple[str, ...], path: Path | None, nbest: int, stress: bool) -> None:
    """Print how each WORD is said, as lines of a lexicon.

    What the lexicon does not list is predicted from it, and named on stderr. A word that cannot be, since it
    has a digit or a letter that no word of the lexicon has, is named too, and the exit code is then 1.
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
