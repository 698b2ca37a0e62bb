"""Every operation is an OpenLineage run: what it is called, how it is told, how it gets to where people look.

Offers the names of datasets and jobs, where a question of lineage can start (`recant.lineage.answers` has the answers,
from the log), the state of what is owed to each destination, and `Deliveries`: having it delivered once more.
`recant.lineage.events` renders an event from the log, `recant.lineage.relay` delivers them; both are imported by name, as
they bring the OpenLineage client and an HTTP client with them. Kept out: when an event is due. The database writes it to
the outbox in the transaction of the change that it tells of, so lineage never decides, slows or fails a write.
"""

from __future__ import annotations

from recant.lineage.deliveries import Deliveries
from recant.lineage.naming import collection_dataset, job_name, source_dataset
from recant.lineage.outbox import lineage_status
from recant.lineage.starts import Start

__all__ = ["Deliveries", "Start", "collection_dataset", "job_name", "lineage_status", "source_dataset"]
