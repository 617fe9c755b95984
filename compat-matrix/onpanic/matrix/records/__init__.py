"""Capability records as files: one for each build, named after it, in one folder.

`record_files`    reads and writes a folder of records
`build_identity`  the name of a build, its target, and who built it
`comparison`      the facts that two records of a build share
"""
