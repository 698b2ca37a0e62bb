"""Taking operations back: blast radius, plan, apply, verify; and checking the whole log.

Keeps out who asks (command line, DAG) and how operations are written (oplog, corpus).
"""

from recant.rollback.blast_radius import BlastRadius
from recant.rollback.certificate import Certificate
from recant.rollback.plan import POLICIES, Plan
from recant.rollback.rollback import Rollback, RollbackReport
from recant.rollback.verification import VerifyReport, verify_log

__all__ = ["POLICIES", "BlastRadius", "Certificate", "Plan", "Rollback", "RollbackReport", "VerifyReport", "verify_log"]
