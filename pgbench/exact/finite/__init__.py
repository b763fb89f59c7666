"""Exact quantities of policies on finite problems."""
