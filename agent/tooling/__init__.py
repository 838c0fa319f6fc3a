"""Defining, validating and executing tools."""
