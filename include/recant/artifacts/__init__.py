"""Files outside the database that operations made: archives and exports, and whether they still hold what they should."""

from recant.artifacts.artifact import ARTIFACT_STATES, Artifact, ArtifactFile, Reason
from recant.artifacts.artifacts import Artifacts, holding

__all__ = ["ARTIFACT_STATES", "Artifact", "ArtifactFile", "Artifacts", "Reason", "holding"]
