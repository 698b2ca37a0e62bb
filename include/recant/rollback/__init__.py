"""Taking operations back: blast radius, plan, apply, verify; and checking the whole log.

Keeps out who asks (command line, DAG) and how operations are written (oplog, corpus).
"""

from recant.rollback.blast_radius import BlastRadius
from recant.rollback.certificate import Certificate
from recant.rollback.plan import POLICIES, STATES, Plan
from recant.rollback.plans import Plans
from recant.rollback.rollback import Rollback, RollbackReport
from recant.rollback.verification import VerifyReport, verify_log

__all__ = [
    "POLICIES",
    "STATES",
    "BlastRadius",
    "Certificate",
    "Plan",
    "Plans",
    "Rollback",
    "RollbackReport",
    "VerifyReport",
    "verify_log",
]
