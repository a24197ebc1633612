"""Simulated stations as the command ``ocppj simulate`` runs them: visits, figures, and the search for the knee."""
