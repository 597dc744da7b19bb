"""asrkit doctor: what is installed, what is missing, what that disables."""

import click


@click.command("doctor")
def command() -> None:
    """Check the installation and the machine: report what will not work, and how to fix it."""
    from asrkit.doctor import diagnose

    for finding in diagnose():
        click.echo(f"{finding.status:<8} {finding.name:<16} {finding.detail}")
        if finding.effect:
            click.echo(f"{'':<25} {finding.effect}")
