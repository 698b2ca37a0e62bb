"""Feedback: what readers say of chunks that they found, each an operation of its own kind that can be taken back.

Offers `submit_feedback` and the verdicts. Kept out: scores, which are a projection of it, and what is proposed because of
it (`recant.proposals`).
"""

from recant.feedback.feedback import NEGATIVE, VERDICTS, FeedbackReceipt, submit_feedback

__all__ = ["NEGATIVE", "VERDICTS", "FeedbackReceipt", "submit_feedback"]
