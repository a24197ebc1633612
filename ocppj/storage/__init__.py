"""Requests that outlive the process."""
