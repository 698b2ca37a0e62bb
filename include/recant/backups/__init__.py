"""Backups and their restore: logical (the schema, from any server) and physical (the embedded server whole)."""

from recant.backups.backups import Backups
from recant.backups.manifest import Backup

__all__ = ["Backup", "Backups"]
