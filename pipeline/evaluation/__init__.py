"""Protocols, the evaluator, and what is made from its numbers: tables, figures, the report."""
