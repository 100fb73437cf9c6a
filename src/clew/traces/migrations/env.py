"""Run by alembic: the steps are done on the connection, and within the transaction, that the store gives."""

from __future__ import annotations

from alembic import context

from clew.traces.tables import METADATA

if "connection" not in context.config.attributes:
    raise RuntimeError("The schema is brought up to date by TraceStore.open, not by the command alembic.")
context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
