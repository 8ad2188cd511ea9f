"""`guardian token add|list|revoke`: who may read the evidence over the API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from guardian import config
from guardian.cli import terminal
from guardian.cli.terminal import ConfigOption, Format, FormatOption
from guardian.errors import UsageError
from guardian.reports import table
from guardian.usecases import tokens

app = typer.Typer(help="Who may read the evidence over the API.", no_args_is_help=True)

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What access records call it: whose it is. Used once.")],
    role: Annotated[str, typer.Option("--role", help=f"One of: {', '.join(tokens.ROLES)}.")],
    service: Annotated[
        list[str] | None, typer.Option("--service", metavar="NAME", help="Only this service; may be repeated.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only records from then on: RFC 3339, or a date.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Only records before: RFC 3339, or a date.")
    ] = None,
    lifetime: Annotated[
        str, typer.Option("--lifetime", metavar="TIME", help="How long it holds, such as 12h.")
    ] = "90d",
    config_file: ConfigOption = None,
) -> None:
    """Make a token and print it, alone, on stdout. It is shown this once and kept nowhere."""
    added = tokens.add(
        config.load(config_file),
        name,
        role,
        services=service or (),
        since=_moment(since, "--since"),
        until=_moment(until, "--until"),
        lifetime_s=_seconds(lifetime),
    )
    typer.echo(added.token)
    terminal.note(f"token {added.name} ({added.role}) holds until {added.expires_at}; it is not shown again")


@app.command("list")
def list_tokens(config_file: ConfigOption = None, output: FormatOption = Format.TABLE) -> None:
    """List every token ever made, without the tokens themselves."""
    rows = tokens.listed(config.load(config_file))
    if output is Format.JSON:
        terminal.print_json({"tokens": rows})
    else:
        terminal.out().print(table.tokens_table(rows))


@app.command("revoke")
def revoke(
    token: Annotated[str, typer.Argument(metavar="NAME|ID", help="Name or id, from `guardian token list`.")],
    config_file: ConfigOption = None,
) -> None:
    """End a token at once, with the sessions of the console that it began."""
    terminal.say(f"token {tokens.revoke(config.load(config_file), token)} is revoked")


def _moment(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{option} {text!r} is no time; write 2026-11-24 or 2026-11-24T02:00:00Z") from error
    if moment.tzinfo is None:
        if len(text) > len("2026-11-24"):
            raise UsageError(f"{option} {text!r} says no offset from UTC; write 2026-11-24T02:00:00Z")
        moment = moment.replace(tzinfo=UTC)
    return moment


def _seconds(text: str) -> int:
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isdecimal() or len(number) > 6:
        raise UsageError(f"--lifetime {text!r} is no duration; write a number with its unit: 30m, 12h, 90d, 4w")
    return int(number) * _UNITS[unit]
