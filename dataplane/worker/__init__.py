"""The worker: one process that serves one version.

Standard library plus what the version itself requires; no site code.
"""
