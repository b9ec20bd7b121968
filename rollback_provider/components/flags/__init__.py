"""Kinds for feature flags."""
