"""`guardian webhook`: serve it, or print what installs it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from guardian import config
from guardian.cli import terminal
from guardian.cli.terminal import ConfigOption
from guardian.errors import UsageError
from guardian.reports import as_yaml
from guardian.usecases import certificates, webhook_install
from guardian.usecases.webhook_manifests import service_hosts

_HELP = """\
Answer the API server's AdmissionReviews over TLS, or print what installs that.

guardian.yaml needs two lines for it:

\b
  collectors: [{name: prod, type: kubernetes}]
  webhook: {certificate: tls/tls.pem, key: "file:tls/tls.key"}

`guardian webhook certificate` makes these two files where the site has none.
"""  # \b: the help keeps the lines of that paragraph
app = typer.Typer(help=_HELP)


@app.callback(invoke_without_command=True)
def serve(context: typer.Context, config_file: ConfigOption = None) -> None:
    """Answer the API server's AdmissionReviews over TLS, until SIGTERM; sign every decision into the log."""
    if context.invoked_subcommand is not None:
        if config_file is not None:
            raise UsageError(f"--config belongs behind `{context.invoked_subcommand}`")
        return
    from guardian.webhook import supervisor  # noqa: PLC0415 -- no other command needs a server

    supervisor.serve(
        config.load(config_file),  # the secrets that it needs are read at once; those of collectors it does not hold
        verbose=bool(context.find_root().params.get("verbose")),
        listening=lambda place: terminal.answers(f"guardian webhook answers https://{place}/v1/admit"),
    )


@app.command("manifests")
def manifests(
    config_file: ConfigOption = None,
    image: Annotated[
        str | None, typer.Option("--image", metavar="IMAGE", help="Run it in the cluster, from this image.")
    ] = None,
    namespace: Annotated[
        str, typer.Option("--namespace", metavar="NAME", help="Its namespace in the cluster.")
    ] = "guardian",
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="It runs elsewhere, and the API server calls it here.")
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option("--ca-file", metavar="FILE", help="PEM certificates to check the webhook's own with."),
    ] = None,
    cert_manager: Annotated[
        bool, typer.Option("--cert-manager", help="cert-manager makes the certificate, and tells the API server.")
    ] = False,
) -> None:
    """Print the Kubernetes objects that install the webhook, as YAML: with --image all that runs it, with --url only
    the registration of one that runs elsewhere.
    """
    if (image is None) == (url is None):
        raise UsageError("give either --image, to run the webhook in the cluster, or --url, where it runs elsewhere")
    settings = config.load(config_file)
    for remark in webhook_install.notes(settings, image=image):
        terminal.note(f"note: {remark}")
    if url is not None:
        if cert_manager:
            raise UsageError("--cert-manager goes with --image: elsewhere it makes no certificate")
        typer.echo(as_yaml.documents(webhook_install.elsewhere(settings, url, ca_file=ca_file)), nl=False)
        return
    assert image is not None  # noqa: S101 -- one of the two is given
    objects, commands = webhook_install.here(
        settings, image=image, namespace=namespace, ca_file=ca_file, cert_manager=cert_manager
    )
    typer.echo(
        "# First, once the namespace is there:\n" + "".join(f"#   {command}\n" for command in commands), nl=False
    )
    typer.echo(as_yaml.documents(objects[:-1]), nl=False)
    typer.echo("# Last, once the Deployment is available:\n" + as_yaml.documents(objects[-1:]), nl=False)


@app.command("certificate")
def certificate(
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", file_okay=False, help="Where the files are written.")
    ] = Path("tls"),
    host: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="NAME", help="What the API server calls it by; may be repeated."),
    ] = None,
    namespace: Annotated[
        str, typer.Option("--namespace", metavar="NAME", help="Without --host: the names of its Service there.")
    ] = "guardian",
    days: Annotated[int, typer.Option("--days", help="How long the certificate is valid.")] = 365,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the certificate; a CA that outlives the new one is kept.")
    ] = False,
) -> None:
    """Make a certificate authority and a serving certificate, where the site has none of its own."""
    hosts = host or service_hosts(namespace)
    made = certificates.make(hosts, folder, now=datetime.now(UTC), days=days, force=force)
    terminal.say(f"certificate {made.certificate}, key {made.key}, valid until {made.expires:%Y-%m-%d %H:%M} UTC")
    kept = "kept; whoever trusts it need learn nothing" if made.authority_kept else "new; give it to --ca-file"
    terminal.say(f"authority {made.authority}: {kept}")
