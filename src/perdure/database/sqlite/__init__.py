"""SQLite: connections of two libraries, a driver that shares commits, migrations."""
