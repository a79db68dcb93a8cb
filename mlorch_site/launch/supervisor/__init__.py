"""Runs every process of the product on one machine: in order, with one log stream, restarted when they die, ended as
groups.
"""
