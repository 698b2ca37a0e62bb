"""Rollbacks that nobody asked for: proposed because what is published fails an audit, or is said to be bad by its readers.

Offers `Proposals` (find, open, reject), `Proposal`, and `quarantine_failing` for what can't wait for a person. A proposal
is a stored rollback plan with its evidence; a person decides about it as about any other plan. Kept out: the audit
(quality), feedback itself, and carrying plans out (rollback).
"""

from recant.proposals.evidence import Burst, Candidate, DocumentEvidence
from recant.proposals.hiding import quarantine_failing
from recant.proposals.proposals import Proposal, Proposals, Waiting

__all__ = ["Burst", "Candidate", "DocumentEvidence", "Proposal", "Proposals", "Waiting", "quarantine_failing"]
