"""The file of a backup: blocks with checksums, which hold one compressed stream of records; see docs/operations.md."""
