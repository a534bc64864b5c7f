"""Uses of private or undocumented parts of dependencies, a module for each dependency.

Each wrapper says what the public API lacks. ``tests/test_compat.py`` has a test for each, which
fails when a new release behaves otherwise.
"""
