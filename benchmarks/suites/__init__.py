"""Suites for asv, which follows the package over its commits.

asv machine --yes; asv run --python=same --quick     here and now
asv continuous HEAD~1 HEAD                           this commit against the one before
"""
