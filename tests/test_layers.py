"""Which part of the package may import which, and which parts touch nothing of the machine.

The table goes from the bottom to the top: a package imports what its row lists and nothing else of
ours. What `gss` and `identity` need of stores, certificates, time and randomness they declare
themselves, as ports, and others implement; so `store`, `x509` and `attributes` are above them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

import browserid_sasl

ROOT: Final = Path(browserid_sasl.__file__).parent

TOOLS: Final = {"database_url", "errors", "extras", "forks", "private_files", "trusted_files"}
"""Small modules that whoever is outside the core may use."""

CORE: Final = {"errors", "forks", "jose", "identity", "krb5", "gss", "sasl"}
OUTSIDE: Final = CORE | TOOLS | {"x509", "attributes", "store", "config", "discovery"}
SERVICES: Final = OUTSIDE | {"agent", "api", "wire"}

LAYERS: Final[dict[str, set[str]]] = {
    "errors": set(),
    "database_url": set(),
    "extras": set(),
    "forks": set(),
    "private_files": {"errors"},
    "trusted_files": {"errors"},
    "jose": {"errors"},
    "identity": {"errors", "forks", "jose"},
    "krb5": {"errors"},
    "gss": {"errors", "identity", "jose", "krb5"},
    "sasl": {"errors", "gss", "identity"},
    "x509": {"errors", "gss", "jose", "trusted_files"},
    "attributes": {"errors", "gss"},
    "store": {"database_url", "errors", "gss", "identity", "private_files"},
    "config": {"database_url", "errors", "gss", "identity", "trusted_files"},
    "discovery": {"errors", "forks", "private_files", "trusted_files", "config", "identity"},
    "printer": {"errors", "attributes", "gss", "identity", "jose", "sasl", "x509"},
    "wire": {"errors", "jose"},
    # Whose keys sign: what `Client` needs of a person. The resident agent is far above.
    "agent": TOOLS | CORE | {"config", "discovery", "store"},
    "api": OUTSIDE | {"agent"},
    "": {"errors", "api", "attributes", "config", "sasl"},
    "compat": {"errors", "api", "config", "sasl"},
    "adapters": {"errors", "api", "gss", "sasl"},
    "negotiate": {"errors", "api", "gss", "krb5", "sasl"},
    "acceptor": SERVICES | {""},
    "proxy": TOOLS | CORE | {"config", "discovery", "wire", "agent", "api", "adapters"},
    "agent.service": SERVICES | {"", "proxy"},
    "doctor": SERVICES | {"", "agent.service", "acceptor"},
    "web": {"errors"},
    "idp": SERVICES | {"negotiate", "web"},
    "verifier": SERVICES | {"web"},
    "cli": SERVICES
    | {"", "printer", "agent.service", "proxy", "acceptor", "doctor", "web", "idp", "verifier"},
}

COMMANDS: Final = {
    *("acceptor.cli", "acceptor.__main__", "idp.cli", "idp.commands", "idp.place"),
    *("verifier.cli", "verifier.commands"),
}
"""Modules beside their service that are commands, and in the layer of those."""

PURE: Final = ("jose", "identity", "krb5", "gss", "sasl")
"""No socket, no file, no clock, no process, no environment."""

OF_THE_MACHINE: Final = {
    *("asyncio", "datetime", "fcntl", "getpass", "glob", "http", "httpcore", "io", "logging"),
    *("multiprocessing", "os", "pathlib", "pwd", "requests", "select", "selectors", "shutil"),
    *("signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "time", "urllib", "uuid"),
    "browserid_sasl.private_files",
    "browserid_sasl.trusted_files",
}


def _modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts).removesuffix("__init__").rstrip("."), path


MODULES: Final = dict(_modules())


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_bytes())


def _layer(module: str) -> str:
    if module in COMMANDS:
        return "cli"
    return "agent.service" if module.startswith("agent.service") else module.partition(".")[0]


def _imported(tree: ast.AST) -> Iterator[str]:
    """Full names of what is imported, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            yield from (f"{node.module}.{each.name}" for each in node.names)


def _ours(module: str) -> Iterator[str]:
    """The modules of this package that a module imports, without the package's name."""
    for name in _imported(_tree(module)):
        top, _, rest = name.partition(".")
        if top == "browserid_sasl":
            # The last part is a name in a module, unless it is a module itself.
            yield rest if rest in MODULES else rest.rpartition(".")[0]


def test_every_package_is_in_the_table() -> None:
    assert {_layer(module) for module in MODULES} == set(LAYERS)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_what_its_layer_may(module: str) -> None:
    layer = _layer(module)
    assert {_layer(each) for each in _ours(module)} <= LAYERS[layer] | {layer}


def test_no_layer_is_above_itself() -> None:
    done: set[str] = set()
    for layer, below in LAYERS.items():
        assert below <= done, layer
        done.add(layer)


@pytest.mark.parametrize("module", [each for each in MODULES if _layer(each) in PURE])
def test_the_core_touches_nothing_of_the_machine(module: str) -> None:
    # Where nobody gives randomness, the system's is taken: that function, and nothing else of `os`.
    names = set(_imported(_tree(module))) - {"os.urandom"}
    assert not (names | {name.partition(".")[0] for name in names}) & OF_THE_MACHINE
    assert not {"open", "input", "print"} & {
        node.func.id
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


@pytest.mark.parametrize("module", MODULES)
def test_imports_in_functions_are_of_what_may_not_be_installed(module: str) -> None:
    inside = {
        name
        for function in ast.walk(_tree(module))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for name in _imported(function)
    }
    assert inside <= {
        "browserid_sasl.attributes.saml_signatures.SignatureVerifier",  # the extra `saml`
        "alembic.command",  # a quarter of what a provider loads, which it needs once in a release
        "alembic.config.Config",
        "alembic.util.CommandError",
        "browserid_sasl.idp.backends.ldap_configuration.ldap_backend",  # the extra `ldap`
        "browserid_sasl.idp.backends.kerberos_configuration.kerberos_backend",  # `kerberos`
        "browserid_sasl.idp.backends.oidc_configuration.oidc_backend",  # the extra `oidc`
        "browserid_sasl.idp.commands.command",  # the extra `idp`
        "browserid_sasl.idp.opening.published_keys",
        "browserid_sasl.idp.postgresql.PostgresqlEngine",  # the extra `postgresql`
        "browserid_sasl.store.postgresql_engine.make_engine",  # the extra `postgresql`
        "browserid_sasl.store.redis_engine.make_engine",  # the extra `redis`
        "browserid_sasl.verifier.commands.command",
        "keyring",  # the extra `keyring`
        "ldap3.core.exceptions.LDAPOperationResult",  # the extra `adapters`
        "ldap3.protocol.sasl.sasl.send_sasl_negotiation",
        "sasl.Client",  # python-sasl, which is not ours to install
    }


@pytest.mark.parametrize("module", MODULES)
def test_nothing_of_ours_is_imported_for_type_checking_alone(module: str) -> None:
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            assert not [each for each in _imported(node) if each.startswith("browserid_sasl")]
