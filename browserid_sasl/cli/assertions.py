"""The commands of `bidtool` for assertions by themselves."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from browserid_sasl import config
from browserid_sasl.api.assertions import AssertionVerifier, get_assertion
from browserid_sasl.cli.options import config_option
from browserid_sasl.cli.output import Output, output_options
from browserid_sasl.cli.tables import local_time
from browserid_sasl.identity.backed import MAX_LENGTH
from browserid_sasl.printer.node import harmless


@click.command("get")
@config_option
@click.option("--identity", metavar="EMAIL", default="", help="Whose it is to be.")
@output_options
@click.argument("audience")
def get(config_file: Path | None, identity: str, output: Output, audience: str) -> None:
    """Print an assertion that you are you, for AUDIENCE alone.

    AUDIENCE is a web site's origin such as https://example.org, or a service principal name such as
    imap/mail.example.org. Who has the assertion can be you there until it expires.
    """
    assertion = get_assertion(audience, config.load(config_file), identity=identity)
    output.give({"assertion": assertion, "audience": audience})
    if output.is_text:
        click.echo(assertion)


@click.command("verify")
@config_option
@output_options
@click.argument("assertion")
@click.argument("audience")
def verify(config_file: Path | None, output: Output, assertion: str, audience: str) -> None:
    """Say who has made ASSERTION, if it is good and for AUDIENCE.

    ASSERTION is the text, or - for what standard input says. What was presented before is not
    remembered.
    """
    if assertion == "-":
        if sys.stdin is None:
            raise click.UsageError("there is no standard input: give the assertion")
        # What is no text at all is no assertion either, and is told so.
        octets = sys.stdin.buffer.read(MAX_LENGTH + 1)
        assertion = octets.decode("utf-8", "replace").strip()
    verifier = AssertionVerifier(config.load(config_file))
    with output.working("asking the identity provider for its keys"):
        verified = verifier.verify(assertion, audience)
    output.give(
        {
            "email": verified.email,
            "audience": verified.audience,
            "issuer": verified.issuer,
            "expires": verified.expires,
        }
    )
    output.say(f"Email:   {harmless(verified.email)}")
    output.say(f"Issuer:  {harmless(verified.issuer)}")
    output.say(f"Expires: {local_time(verified.expires)}")


COMMANDS = (get, verify)
