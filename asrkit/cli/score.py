"""asrkit score: error rates of hypotheses against references."""

from pathlib import Path

import click

from asrkit.cli.options import setting


@click.command("score")
@click.argument("ref", type=click.Path(path_type=Path))
@click.argument("hyp", type=click.Path(path_type=Path))
@click.option(
    "--unit",
    "units",
    multiple=True,
    type=click.Choice(["word", "char", "phone", "phone39"]),
    show_default="word and char",
    help="Unit of error; may be repeated. phone39: the 39 folded phones of TIMIT.",
)
@click.option(
    "--form",
    type=click.Choice(["trn", "text", "plain"]),
    show_default="by content",
    help="Form of both files: trn, Kaldi's text, or one utterance a line.",
)
@click.option("--report", is_flag=True, help="Print alignments, confusions and speakers too.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the detailed reports.")
@setting("score.bootstrap", default=1000)
def command(
    ref: Path,
    hyp: Path,
    units: tuple[str, ...],
    form: str | None,
    report: bool,
    output: Path | None,
    bootstrap: int,
) -> None:
    """Compare the hypotheses in HYP with the references in REF."""
    from asrkit.recognition.scoring.report import report as report_lines
    from asrkit.recognition.scoring.report import write_score
    from asrkit.recognition.scoring.score import score_files

    for unit in units or ("word", "char"):
        score = score_files(ref, hyp, unit, bootstrap, form or "")
        for line in report_lines(score, str(hyp)) if report else score.lines():
            click.echo(line)
        if output:
            write_score(output / f"score_{unit}", score, str(hyp))
