"""Tracking a migration that commits as it goes: its sessions bear a mark, and triggers log what they write."""
