"""`collectord metrics`."""

from __future__ import annotations

import click

from collectord.cli.invocation import Invocation


@click.command(short_help="Print the status as OpenMetrics.")
@click.pass_obj
def metrics(invocation: Invocation) -> None:
    """Print the status as OpenMetrics, for a scrape or node_exporter's textfile collector.

    With `metrics.textfile` the daemon writes the same at every heartbeat.
    """
    from collectord.status.metrics import metrics as metrics_text

    click.echo(metrics_text(invocation.settings()), nl=False)
