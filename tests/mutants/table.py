"""All mutants, in the order of the data's way: bytes, commit, tree, verification, consequences."""

from __future__ import annotations

from tests.mutants import of_bytes, of_commit, of_decide, of_mst, of_verify

MUTANTS = (
    *of_bytes.MUTANTS,
    *of_commit.MUTANTS,
    *of_mst.MUTANTS,
    *of_verify.MUTANTS,
    *of_decide.MUTANTS,
)
