"""Solvers propose, `certificates` disposes: each offers hints, and `engine.certify` proves what they are worth."""
