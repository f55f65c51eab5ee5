"""Mutants of what follows from a proof: the chain's consequences, accounts, and the screen."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, removed

DECIDE = "indexer/decide.py"
REPLACEMENT = "indexer/replacement.py"
TURNS = "indexer/turns.py"
VERSIONS = "indexer/versions.py"
SCREEN = "indexer/screen.py"
DECIDE_TESTS = "indexer/test_decide.py::test_"
PIPELINE_TESTS = "indexer/test_pipeline.py::test_"
ORDER_TESTS = "indexer/test_account_order.py::test_"
REPLACEMENT_TESTS = "indexer/test_replacement.py::test_"
PARKED_TESTS = "indexer/test_parked.py::test_"
SCREEN_TESTS = "indexer/test_screen.py::test_"

BACK = "a_deleted_account_that_is_back_as_it_was_is_fetched_under_the_rev_that_it_had"

CHAIN = (
    Mutant(
        "6: a gap goes unnoticed",
        DECIDE,
        "            sync = SyncState.DESYNCHRONIZED\n    return replace(",
        "            sync = state.sync_state\n    return replace(",
        PIPELINE_TESTS + "what_was_missed_is_known_to_be_missing",
    ),
    Mutant(
        "6: two trees under one rev are a duplicate",
        DECIDE,
        "            return DropReason.FORKED_REV\n",
        "            return None\n",
        PIPELINE_TESTS + "two_datas_under_one_rev_are_refused_and_kept",
    ),
    Mutant(
        "6: an old commit is applied",
        DECIDE,
        "        case Chain.STALE:\n            return DropReason.STALE_REV\n",
        "        case Chain.STALE:\n            sync = state.sync_state\n",
        DECIDE_TESTS + "a_commit_that_is_older_than_what_we_hold_changes_nothing",
    ),
    Mutant(
        "6: a repo first seen in its middle is synced",
        DECIDE,
        "whole = commit.prev_data in (None, EMPTY_ROOT)",
        "whole = True",
        PIPELINE_TESTS + "a_repo_that_is_first_seen_in_its_middle_is_not_called_synced",
    ),
    Mutant(
        "6: a refused commit that proves a newer state marks nothing",
        DECIDE,
        "if rejected.desynchronizes and newer:",
        "if False:",
        PIPELINE_TESTS + "a_rejected_commit_that_proves_a_newer_state_marks_the_repo",
    ),
    Mutant(
        "6: a sync of an older state marks the repo",
        DECIDE,
        "if state.rev is None or proof.rev > state.rev:",
        "if True:",
        DECIDE_TESTS + "a_sync_of_a_state_that_we_have_left_says_nothing",
    ),
)

ACCOUNTS = (
    Mutant(
        "account: an event that is replayed counts again",
        DECIDE,
        "if state is None or _is_repeated(state, event, origin):",
        "if state is None:",
        PIPELINE_TESTS + "an_old_account_event_that_is_replayed_changes_nothing",
    ),
    Mutant(
        "account: what was deleted stays",
        DECIDE,
        "        batch.purge(event.did)\n",
        "        pass\n",
        PIPELINE_TESTS + "a_deleted_account_is_purged_and_its_old_commits_stay_away",
    ),
    Mutant(
        "account: a time to come has the last word",
        DECIDE,
        "return min(_claimed_time(event), origin.at)",
        "return _claimed_time(event)",
        ORDER_TESTS + "who_claims_a_time_to_come_has_not_the_last_word",
    ),
    Mutant(
        "account: low seqs are never heard again",
        DECIDE,
        "return not newest < _claimed_time(event) <= origin.at",
        "return True",
        ORDER_TESTS + "a_source_that_was_set_up_anew_is_heard_under_low_seqs",
    ),
    Mutant(
        "account: a stale event of a fast clock counts again",
        DECIDE,
        "known = (NEWEST, CLAIMED + origin.source)",
        "known = (NEWEST,)",
        ORDER_TESTS + "a_stale_event_of_a_source_whose_clock_is_fast_changes_nothing",
    ),
    Mutant(
        "account: who has claimed a time to come is not heard under low seqs",
        DECIDE,
        "min(_claimed_time(event), origin.at + _FAST_US)",
        "_claimed_time(event)",
        ORDER_TESTS + "who_has_claimed_a_time_to_come_is_heard_again_a_day_later",
    ),
    removed(
        "account: a deleted one still writes",
        DECIDE,
        "state.status == DELETED and not state.active",
        DECIDE_TESTS + "a_deleted_account_writes_nothing_until_it_is_back",
    ),
)

KEPT = (
    Mutant(
        "account: what a deleted one has written is kept",
        DECIDE,
        "DropReason.STALE_ACCOUNT, DropReason.INACTIVE_ACCOUNT})",
        "DropReason.STALE_ACCOUNT})",
        PIPELINE_TESTS + "nothing_is_kept_of_what_a_deleted_account_has_written",
    ),
)

PARKED = (
    Mutant(
        "account: what is told of one whose first commit is parked is lost",
        DECIDE,
        "state = RepoState(event.did) if known is None and parked else known",
        "state = known",
        PARKED_TESTS + "who_is_taken_down_meanwhile_is_hidden",
    ),
    removed(
        "account: a parked commit counts once the account is said to be active",
        DECIDE,
        "known is None and event.active",
        PARKED_TESTS + "that_an_account_is_active_does_not_let_its_commit_in",
    ),
    Mutant(
        "account: what was parked is let in without what was told of the account",
        "indexer/processor.py",
        "            if findings[dids[row]].whole:\n",
        "            if True:\n",
        PARKED_TESTS + "a_commit_waits_for_what_is_told_of_its_account",
    ),
    Mutant(
        "6: a repo whose first commit was parked is synced",
        "indexer/processor.py",
        "(before is None or before.rev is None)",
        "False",
        PARKED_TESTS + "a_repo_that_was_not_followed_meanwhile_is_fetched",
    ),
)

REPLACED = (
    Mutant(
        "6: a refused commit of an older state marks the repo",
        DECIDE,
        "if rejected.desynchronizes and newer:",
        "if rejected.desynchronizes:",
        DECIDE_TESTS + "a_refused_commit_of_an_older_state_marks_nothing",
    ),
    Mutant(
        "repo: one that is older than what was held takes back what was proved",
        TURNS,
        "if is_older(repo, turn.held):",
        "if False:",
        REPLACEMENT_TESTS
        + "an_older_snapshot_takes_nothing_back_whatever_arrives_during_the_fetch",
    ),
    Mutant(
        "repo: an account that is back as it was is taken for older",
        REPLACEMENT,
        "repo.rev < held.rev",
        "(repo.rev < held.rev or (held.data_cid is None and repo.rev == held.rev))",
        REPLACEMENT_TESTS + BACK,
    ),
    Mutant(
        "repo: an account that is back as it was is taken for a fork",
        REPLACEMENT,
        "state.data_cid not in (None, str(repo.data))",
        "state.data_cid != str(repo.data)",
        REPLACEMENT_TESTS + BACK,
    ),
    Mutant(
        "repo: two trees under one rev replace each other",
        REPLACEMENT,
        "return Verdict.FORKED if forked else None",
        "return None",
        REPLACEMENT_TESTS + "the_same_rev_over_other_data_is_refused_by_name",
    ),
    Mutant(
        "repo: what was fetched while the account moved counts",
        TURNS,
        "if turn.waiting.moved:",
        "if False:",
        REPLACEMENT_TESTS + "a_snapshot_from_before_a_deletion_brings_nothing_back",
    ),
)

RECORDS = (
    removed(
        "record: of any size",
        VERSIONS,
        "size > events.MAX_RECORD",
        PIPELINE_TESTS + "an_invalid_record_is_kept_aside_and_its_siblings_are_indexed",
    ),
)

OF_SCREEN = (
    Mutant(
        "screen: a message's length is not compared",
        SCREEN,
        "            if match.end() + size + _AFTER[fields] == end:\n",
        "            if True:\n",
        SCREEN_TESTS + "what_is_cut_or_too_long_is_for_the_writer_to_refuse",
    ),
    Mutant(
        "screen: a message's length in the stream is not compared",
        SCREEN,
        'if match.end() + _int(blocks, "big") + _AFTER[fields] != stop or stop > end:',
        "if stop > end:",
        SCREEN_TESTS + "what_is_cut_or_too_long_is_for_the_writer_to_refuse",
    ),
    Mutant(
        "screen: ops in our collections pass by",
        SCREEN,
        '_NOT_OURS = b"(?!" + b"|".join(map(re.escape, SCAN_PREFIXES)) + b")"',
        '_NOT_OURS = b""',
        SCREEN_TESTS + "an_op_in_an_indexed_collection_is_never_passed_by",
    ),
    Mutant(
        "screen: frames of a tracked repo pass by in a stream",
        SCREEN,
        "            if did in tracked or did in under_way:\n                break\n",
        "            if did in under_way:\n                break\n",
        SCREEN_TESTS + "frames_of_a_tracked_repo_are_handed_over_in_their_place",
    ),
    Mutant(
        "screen: what is under way is forgotten",
        SCREEN,
        "            if did in tracked or did in under_way:\n                break\n",
        "            if did in tracked:\n                break\n",
        SCREEN_TESTS + "a_repo_whose_first_commit_is_under_way_is_not_passed_by",
    ),
    Mutant(
        "screen: any type of message passes by",
        SCREEN,
        "seen.op == _MESSAGE and seen.t in _REPO_TYPES",
        "seen.op == _MESSAGE",
        SCREEN_TESTS + "anything_but_a_message_of_a_repo_is_handed_over",
    ),
)

MUTANTS = (*CHAIN, *ACCOUNTS, *KEPT, *PARKED, *REPLACED, *RECORDS, *OF_SCREEN)
