"""The main job on one machine: PostgreSQL, an application that writes, a migration that fails and is taken back."""
