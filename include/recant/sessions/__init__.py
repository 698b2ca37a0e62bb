"""Sessions: a stretch of an agent's work, seen by itself only until all of it is published, or none.

Offers opening one with limits, seeing what it holds, merging and discarding it. Keeps out writing (ingestion) and the
limits themselves, which the database enforces (init-scripts/0009_sessions.sql).
"""

from recant.sessions.session import Obstacle, Session, SessionDetail, SessionReport
from recant.sessions.sessions import Sessions

__all__ = ["Obstacle", "Session", "SessionDetail", "SessionReport", "Sessions"]
