"""A digest of all in the index that environments, epochs and alerts follow from."""

from __future__ import annotations

import marshal
from hashlib import sha256

from collectord.index.engine import IndexConnection

# Rows of runs and issues are added and never edited, so their ids and counts tell them; which revision is
# the current one moves `changed_ms`. The other tables are small; that a kernel still runs is seen again and
# again, and only its end says until when it did. Alerts, seals and by which rules it went are
# what an evaluation wrote itself: an index that lost some of it is not as it left it.
_INPUTS = (
    "SELECT count(*), max(id) FROM revisions",
    "SELECT count(*), max(changed_ms), sum(revision) FROM archives",
    "SELECT count(*), max(id) FROM issue_revisions",
    "SELECT fingerprint, normaliser FROM environments ORDER BY fingerprint",
    "SELECT * FROM environment_observations ORDER BY id",
    "SELECT id, pid, started_ms, config, universe, speculate, max_concurrent, first_seen_ms, gone_ms,"
    " CASE WHEN gone_ms IS NOT NULL THEN last_seen_ms END FROM kernel_sessions ORDER BY id",
    "SELECT * FROM epoch_cuts ORDER BY id",
    "SELECT key, value FROM index_info WHERE key IN ('environment_rule', 'artifact_facts_version')"
    " ORDER BY key",
    "SELECT count(*), max(id) FROM alerts",
    "SELECT * FROM sealed_epochs ORDER BY key",
)


def epoch_inputs_digest(connection: IndexConnection, *beside: str) -> str:
    """sha256 hex over the index and what stands `beside` it: while it is the same, so is what follows."""
    digest = sha256("\0".join(beside).encode("utf-8", "surrogatepass"))
    cursor = connection.cursor()
    cursor.row_factory = None
    for query in _INPUTS:
        digest.update(marshal.dumps(cursor.execute(query).fetchall(), 2))
    return digest.hexdigest()
