"""The command `browserid doctor`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from browserid_sasl.cli.options import config_option
from browserid_sasl.cli.output import Output, output_options
from browserid_sasl.cli.tables import coloured
from browserid_sasl.config import IdpConfig
from browserid_sasl.config.syntax import Unfit, host
from browserid_sasl.doctor.domains import ProviderSide
from browserid_sasl.doctor.findings import Finding, Verdict, worst
from browserid_sasl.doctor.person import Person
from browserid_sasl.doctor.server import Files, ServerSide
from browserid_sasl.errors import BrowserIDError, ConfigurationError
from browserid_sasl.extras import not_installed
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.identity.addresses import domain_of, in_lower_case
from browserid_sasl.jose.keys import PublicKey
from browserid_sasl.printer.node import harmless

_WORDS: Final = {Verdict.GOOD: "good", Verdict.DOUBTFUL: "doubtful", Verdict.BAD: "bad"}
_COLOURS: Final = {Verdict.GOOD: "green", Verdict.DOUBTFUL: "yellow", Verdict.BAD: "red"}
_FILE: Final = click.Path(path_type=Path)


@click.command()
@config_option
@click.option(
    "--server",
    "service",
    metavar="SERVICE/HOST",
    help="Look at a service of this host, such as imap/mail.example.org, and not at yourself.",
)
@click.option(
    "--provider",
    is_flag=True,
    help="Look at the identity provider of this host, and each of its domains.",
)
@click.option("--domain", metavar="DOMAIN", help="Of these, look at this one alone.")
@click.option(
    "--port", metavar="N", type=click.IntRange(1, 65_535), help="Where the service speaks TLS."
)
@click.option("--postfix", metavar="FILE", type=_FILE, help="Postfix's main.cf.")
@click.option("--imapd", metavar="FILE", type=_FILE, help="Cyrus imapd's imapd.conf.")
@output_options
@click.argument("address", required=False)
def doctor(
    *,
    config_file: Path | None,
    service: str | None,
    provider: bool,
    domain: str | None,
    port: int | None,
    postfix: Path | None,
    imapd: Path | None,
    output: Output,
    address: str | None,
) -> int:
    """Look at everything that a login takes, and say what mends it.

    Each line is good, doubtful or bad; --quiet leaves out what is good. Nothing is changed.
    ADDRESS is whom you mean to log in as.

    The exit status is 0 if all is good, 1 if something is doubtful, and 2 if something is bad.
    """
    if domain and not provider:
        raise click.UsageError("--domain goes with --provider")
    if provider:
        if address or service or port or postfix or imapd:
            raise click.UsageError("--provider goes with --domain, and with no other of these")
        side = ProviderSide(_keys_of, config_file, in_lower_case(domain or ""))
        return int(_show(side.findings(), output))
    if service is None:
        if port or postfix or imapd:
            raise click.UsageError("--port, --postfix and --imapd go with --server")
        if address and domain_of(address) is None:
            raise click.UsageError(f"{address!r} is not an e-mail address such as you@example.org")
        findings = Person(config_file, address or "").findings()
    elif address is not None:
        raise click.UsageError("give an address or --server, not both")
    else:
        usual = Files()
        files = Files(postfix or usual.postfix, imapd or usual.imapd)
        findings = ServerSide(_name(service), config_file, port, files).findings()
    return int(_show(findings, output))


def _keys_of(options: IdpConfig) -> Mapping[str, PublicKey]:
    try:
        # The whole provider is an extra.
        from browserid_sasl.idp.opening import published_keys  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(*not_installed("idp", error)) from None
    return published_keys(options)


def _name(text: str) -> ServiceName:
    try:
        name = ServiceName.parse(text)
        return replace(name, host=host(name.host))
    except BrowserIDError as error:
        raise click.UsageError(f"--server {text!a}: {error}") from None
    except Unfit as unfit:
        raise click.UsageError(f"--server: the host {unfit.reason}") from None


def _show(findings: Iterable[Finding], output: Output) -> Verdict:
    """Print each as it is found: some take a while."""
    seen: list[Finding] = []
    coming = iter(findings)
    while True:
        with output.working("looking"):
            each = next(coming, None)
        if each is None:
            break
        seen.append(each)
        if output.is_text and (each.verdict or not output.quiet):
            for line in _lines(each):
                click.echo(line)
    shown = [_members(each) for each in seen if each.verdict or not output.quiet]
    output.give({"worst": _WORDS[worst(seen)], "findings": shown})
    return worst(seen)


def _lines(finding: Finding) -> Iterator[str]:
    word = coloured(f"{_WORDS[finding.verdict]:<9}", _COLOURS[finding.verdict])
    yield f"{word} {harmless(finding.check)}: {harmless(finding.message)}"
    if finding.remedy:
        yield f"{'':<9} -> {harmless(finding.remedy)}"


def _members(finding: Finding) -> dict[str, str]:
    return {
        "check": finding.check,
        "verdict": _WORDS[finding.verdict],
        "message": finding.message,
        "remedy": finding.remedy,
    }
