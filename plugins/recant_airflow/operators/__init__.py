"""Operators, one module for each family: the life of an operation, ingestion, rollback, verification."""
