"""Mutants of the verification itself, by the steps of "Verifying a commit" (Sync 1.1)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, removed

FILE = "indexer/verify.py"
TESTS = "indexer/test_verify.py::test_"

STEP_1_ENVELOPE = (
    Mutant(
        "1: a CAR may have more than one root",
        FILE,
        "    if len(file.roots) != 1:\n"
        '        raise Refused(DropReason.INVALID_CAR, f"{len(file.roots)} roots, expected the '
        'commit alone")\n'
        "    (root,) = file.roots\n",
        "    root = file.roots[0]\n",
        TESTS + "the_car_has_exactly_one_root",
    ),
    removed(
        "1: the root may be of any codec",
        FILE,
        "root.codec != DAG_CBOR",
        TESTS + "the_root_is_a_link_to_dag_cbor",
    ),
    removed(
        "1: the envelope's commit need not be the root",
        FILE,
        "commit is not None and root != commit",
        TESTS + "the_root_is_the_commit_of_the_envelope",
    ),
    Mutant(
        "1: the commit block may be missing",
        FILE,
        "    block = file.blocks.get(root.raw)\n",
        "    block = file.blocks.get(root.raw, next(iter(file.blocks.values())))\n",
        TESTS + "the_commit_block_is_there",
    ),
    Mutant(
        "1: a block's hash is not told from a broken file",
        FILE,
        "raise Refused(DropReason.BLOCK_HASH_MISMATCH,",
        "raise Refused(DropReason.INVALID_CAR,",
        TESTS + "every_block_hashes_to_its_cid",
    ),
    removed(
        "1: the envelope's repo need not be the signed did",
        FILE,
        "signed.did != did",
        TESTS + "the_signed_did_is_the_envelopes",
    ),
    removed(
        "1: the envelope's rev need not be the signed one",
        FILE,
        "rev is not None and signed.rev != rev",
        TESTS + "the_signed_rev_is_the_envelopes",
    ),
)

STEP_2_SIGNATURE = (
    removed(
        "2: the signature is not checked",
        FILE,
        "not key.verify(signed.unsigned, signed.sig)",
        TESTS + "the_signature_is_the_identitys",
    ),
    Mutant(
        "2: a refusal before the signature carries a head",
        FILE,
        "    if not key.verify(signed.unsigned, signed.sig):\n",
        "    _check_rev(signed.rev, None, 0)\n"
        "    if not key.verify(signed.unsigned, signed.sig):\n",
        TESTS + "nothing_behind_a_bad_signature_is_looked_at",
    ),
    Mutant(
        "2: tooBig is believed before the signature",
        FILE,
        "blocks, signed = _authentic(event.blocks, event.did, event.rev, event.commit, key)",
        "if event.too_big:\n"
        '            raise Refused(DropReason.TOO_BIG, "")\n'
        "        blocks, signed = _authentic("
        "event.blocks, event.did, event.rev, event.commit, key)",
        TESTS + "nothing_behind_a_bad_signature_is_looked_at",
    ),
    Mutant(
        "2: an unsigned refusal desynchronises",
        FILE,
        "return self.head is not None and self.reason is not DropReason.FUTURE_REV",
        "return self.reason is not DropReason.FUTURE_REV",
        TESTS + "the_signature_is_the_identitys",
    ),
)

STEP_3_SHAPE = (
    Mutant(
        "3: a path may be named twice",
        FILE,
        "if len({op.path for op in ops}) != len(ops):",
        "if False:",
        TESTS + "no_path_is_named_twice",
    ),
    removed(
        "3: the ops may have any shape",
        FILE,
        "(op.cid is not None, op.prev is not None) != expected",
        TESTS + "each_action_has_its_cids",
    ),
    Mutant(
        "3: a create may have a prev",
        FILE,
        "expected = (op.action is not Action.DELETE, op.action is not Action.CREATE)",
        "expected = (op.action is not Action.DELETE, op.prev is not None"
        " if op.action is Action.CREATE else True)",
        TESTS + "each_action_has_its_cids",
    ),
    Mutant(
        "3: a delete may have a cid",
        FILE,
        "expected = (op.action is not Action.DELETE, op.action is not Action.CREATE)",
        "expected = (op.cid is not None if op.action is Action.DELETE else True,"
        " op.action is not Action.CREATE)",
        TESTS + "each_action_has_its_cids",
    ),
    Mutant(
        "3: an update may have no prev",
        FILE,
        "expected = (op.action is not Action.DELETE, op.action is not Action.CREATE)",
        "expected = (op.action is not Action.DELETE, op.prev is not None"
        " if op.action is Action.UPDATE else op.action is Action.DELETE)",
        TESTS + "each_action_has_its_cids",
    ),
    removed(
        "3: tooBig is ignored",
        FILE,
        "event.too_big",
        TESTS + "a_commit_that_is_too_big_proves_only_its_head",
    ),
    removed(
        "3: prevData may be missing",
        FILE,
        "cannot_undo",
        TESTS + "a_commit_without_prev_data_is_its_own_case",
    ),
)

STEP_4_TREE = (
    removed(
        "4: the tree need not hold what an op says",
        FILE,
        "found != op.cid",
        TESTS + "the_tree_holds_the_cid_of_the_op",
    ),
    removed(
        "4: a deleted path may still be in the tree",
        FILE,
        "found != op.cid",
        TESTS + "a_deleted_path_is_not_in_the_tree",
    ),
    Mutant(
        "4: a path that is missing is as good as its cid",
        FILE,
        "if found != op.cid:",
        "if found is not None and found != op.cid:",
        TESTS + "a_created_path_is_in_the_tree",
    ),
    Mutant(
        "4: a path only has to be in the tree",
        FILE,
        "if found != op.cid:",
        "if (found is None) != (op.cid is None):",
        TESTS + "the_tree_holds_the_cid_of_the_op",
    ),
    Mutant(
        "4: the record block may be missing",
        FILE,
        "    block = blocks.get(cid.raw)\n    if block is None:\n",
        '    block = blocks.get(cid.raw, b"")\n    if block is None:\n',
        TESTS + "the_record_is_in_the_car",
    ),
)

STEP_5_INVERSION = (
    removed(
        "5: the ops need not undo to prevData",
        FILE,
        "before != expected",
        TESTS + "no_op_is_left_out",
    ),
    Mutant(
        "5: a first commit need not undo to nothing",
        FILE,
        "event.prev_data or mst.EMPTY_ROOT",
        "event.prev_data or mst.root_cid(tree)",
        TESTS + "a_commit_that_only_says_it_is_the_first_is_refused",
    ),
    Mutant(
        "5: an op that is not undone",
        FILE,
        "for op in sorted(event.ops, key=lambda op: (op.action is not Action.DELETE, op.path)):",
        "for op in sorted(event.ops, key=lambda op: op.path)[1:]:",
        TESTS + "a_valid_commit_is_accepted_with_all_that_it_proves",
    ),
    Mutant(
        "5: the order of undoing is that of the ops",
        FILE,
        "for op in sorted(event.ops, key=lambda op: (op.action is not Action.DELETE, op.path)):",
        "for op in event.ops:",
        TESTS + "ops_are_undone_in_the_order_that_senders_prove",
    ),
    Mutant(
        "5: deletes are undone last",
        FILE,
        "key=lambda op: (op.action is not Action.DELETE, op.path)",
        "key=lambda op: (op.action is Action.DELETE, op.path)",
        TESTS + "ops_are_undone_in_the_order_that_senders_prove",
    ),
    Mutant(
        "5: an update keeps its new value",
        FILE,
        "return mst_edit.replace(tree, op.path, op.prev)",
        "return tree",
        TESTS + "a_valid_commit_is_accepted_with_all_that_it_proves",
    ),
    Mutant(
        "5: a delete is not undone",
        FILE,
        "        return mst_edit.insert(tree, op.path, op.prev)",
        "        return tree",
        TESTS + "a_valid_commit_is_accepted_with_all_that_it_proves",
    ),
    Mutant(
        "5: prev of a delete is not compared",
        FILE,
        "        return mst_edit.insert(tree, op.path, op.prev)",
        "        return mst_edit.insert(tree, op.path, Cid.of(op.path.encode()))",
        TESTS + "a_valid_commit_is_accepted_with_all_that_it_proves",
    ),
)

STEP_6_CHAIN = (
    Mutant(
        "6: a commit after ours is taken for one before",
        FILE,
        "    if verified.rev <= rev:\n        if verified.rev < rev:",
        "    if verified.rev >= rev:\n        if verified.rev > rev:",
        TESTS + "the_chain_tells_where_a_commit_stands",
    ),
    Mutant(
        "6: our rev over other data is a duplicate",
        FILE,
        "return Chain.DUPLICATE if verified.data == data else Chain.FORKED",
        "return Chain.DUPLICATE",
        TESTS + "the_chain_tells_where_a_commit_stands",
    ),
    Mutant(
        "6: since need not be our rev",
        FILE,
        "if verified.since == rev and verified.prev_data == data:",
        "if verified.prev_data == data:",
        TESTS + "the_chain_tells_where_a_commit_stands",
    ),
    Mutant(
        "6: prevData need not be our data",
        FILE,
        "if verified.since == rev and verified.prev_data == data:",
        "if verified.since == rev:",
        TESTS + "the_chain_tells_where_a_commit_stands",
    ),
    Mutant(
        "6: without data there is a chain all the same",
        FILE,
        "if rev is None or data is None:",
        "if rev is None:",
        TESTS + "the_chain_tells_where_a_commit_stands",
    ),
)

STEP_7_REV = (
    removed(
        "7: a rev may be ahead of the clock",
        FILE,
        "rev.timestamp_us > now_us + MAX_AHEAD_US",
        TESTS + "a_rev_is_at_most_five_minutes_ahead",
    ),
    Mutant(
        "7: a rev may be six minutes ahead",
        FILE,
        "MAX_AHEAD_US = 5 * 60 * 1_000_000",
        "MAX_AHEAD_US = 6 * 60 * 1_000_000",
        TESTS + "a_rev_is_at_most_five_minutes_ahead",
    ),
    Mutant(
        "7: a rev may not be five minutes ahead",
        FILE,
        "rev.timestamp_us > now_us + MAX_AHEAD_US",
        "rev.timestamp_us >= now_us + MAX_AHEAD_US",
        TESTS + "a_rev_is_at_most_five_minutes_ahead",
    ),
    Mutant(
        "7: a rev from the future desynchronises",
        FILE,
        "return self.head is not None and self.reason is not DropReason.FUTURE_REV",
        "return self.head is not None",
        TESTS + "a_rev_is_at_most_five_minutes_ahead",
    ),
    removed(
        "7: a rev need not be above since",
        FILE,
        "since is not None and rev <= since",
        TESTS + "a_rev_rises_above_since",
    ),
    Mutant(
        "7: a rev may be since",
        FILE,
        "if since is not None and rev <= since:",
        "if since is not None and rev < since:",
        TESTS + "a_rev_rises_above_since",
    ),
)

WHOLE = (
    Mutant(
        "sync: its rev is not held against the clock",
        FILE,
        "        _, signed = _authentic(event.blocks, event.did, event.rev, None, key)\n"
        "        head = Head(signed.did, signed.rev, signed.data)\n"
        "        _check_rev(signed.rev, None, now_us)\n",
        "        _, signed = _authentic(event.blocks, event.did, event.rev, None, key)\n"
        "        head = Head(signed.did, signed.rev, signed.data)\n",
        TESTS + "a_sync_from_the_future_is_refused",
    ),
    Mutant(
        "sync: its rev need not be the signed one",
        FILE,
        "_authentic(event.blocks, event.did, event.rev, None, key)",
        "_authentic(event.blocks, event.did, None, None, key)",
        TESTS + "a_sync_is_checked_like_a_commit",
    ),
    Mutant(
        "repo: its rev is not held against the clock",
        FILE,
        "        _check_rev(signed.rev, None, now_us)\n"
        "        records = _records(blocks, signed.data, collections)",
        "        records = _records(blocks, signed.data, collections)",
        TESTS + "a_repo_is_of_its_did_and_key_and_time",
    ),
    Mutant(
        "repo: a part of the tree is enough",
        FILE,
        "for path, cid in mst.walk(blocks, data):\n",
        "for path, cid in mst.items(mst.load(blocks, data)):\n"
        "        if cid.raw not in blocks:\n"
        "            break\n",
        TESTS + "a_repo_cut_between_any_two_blocks_is_never_whole",
    ),
    Mutant(
        "repo: records may be missing",
        FILE,
        "        _record(path, cid, blocks)\n",
        "",
        TESTS + "records_are_needed_of_the_collections_that_are_asked_for",
    ),
    Mutant(
        "repo: records of other collections are needed, too",
        FILE,
        'if collections is not None and path.partition("/")[0] not in collections:',
        "if False:",
        TESTS + "records_are_needed_of_the_collections_that_are_asked_for",
    ),
    removed(
        "repo: as many records, of paths as long as it likes",
        FILE,
        "len(found) > MAX_REPO_RECORDS or size > MAX_REPO_PATHS",
        TESTS + "a_repo_of_paths_without_measure_is_refused",
    ),
    Mutant(
        "repo: as many blocks as it likes",
        FILE,
        "file = car.read(data, max_blocks=max_blocks)",
        "file = car.read(data, max_blocks=1 << 60)",
        TESTS + "a_repo_of_too_many_blocks_is_refused",
    ),
)

MUTANTS = (
    *STEP_1_ENVELOPE,
    *STEP_2_SIGNATURE,
    *STEP_3_SHAPE,
    *STEP_4_TREE,
    *STEP_5_INVERSION,
    *STEP_6_CHAIN,
    *STEP_7_REV,
    *WHOLE,
)
