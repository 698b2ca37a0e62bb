"""Recant in Airflow: a hook, operators that call the library step by step, and the asset of what was published.

A skin: what a task does here, `recant` on the command line and a Python prompt can do without it. Modules import
nothing heavy; the library is imported where a task runs.
"""
