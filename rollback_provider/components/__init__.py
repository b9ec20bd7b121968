"""Plug-ins: one package or module for each kind of system that can be taken back."""
