"""Audit logs of tests."""

from __future__ import annotations

from pathlib import Path

from browserid_sasl.idp.audit import AuditLog, Retention
from browserid_sasl.idp.audit_file import AuditFile
from browserid_sasl.idp.database import Database


def audit_log(database: Database, folder: Path, retention: Retention | None = None) -> AuditLog:
    """One with its file in a folder."""
    return AuditLog(database, AuditFile(folder / "audit.log"), retention)
