"""The checkpoint contract, its data model and its implementations."""
