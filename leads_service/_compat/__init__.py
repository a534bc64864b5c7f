"""Every use of a private API of a dependency, with its reason, and a test for each."""
