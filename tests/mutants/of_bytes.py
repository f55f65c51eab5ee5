"""Mutants of what stands before every check: frames, events, CAR, CBOR, CIDs, and their limits."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, removed

FRAMES, FRAME_TESTS = "indexer/frames.py", "indexer/test_frames.py::test_"
EVENTS, EVENT_TESTS = "indexer/events.py", "indexer/test_events.py::test_"
CAR, CAR_TESTS = "atdata/protocol/car.py", "protocol/test_car.py::test_"
CBOR, CBOR_TESTS = "atdata/protocol/cbor.py", "protocol/test_cbor.py::test_"
CID, CID_TESTS = "atdata/protocol/cid.py", "protocol/test_cid.py::test_"

OF_FRAMES = (
    removed(
        "frame: of any size",
        FRAMES,
        "len(frame) > MAX_FRAME",
        FRAME_TESTS + "what_is_no_frame_is_refused_by_name",
    ),
    Mutant(
        "frame: an encoding that is not canonical",
        FRAMES,
        "canonical = not strict or",
        "canonical = True or",
        FRAME_TESTS + "a_byte_string_is_no_link",
    ),
    Mutant(
        "frame: objects after the body",
        FRAMES,
        "if len(objects) != 2 or not",
        "if len(objects) < 2 or not",
        FRAME_TESTS + "what_is_no_frame_is_refused_by_name",
    ),
    Mutant(
        "frame: header and body of any type",
        FRAMES,
        "if len(objects) != 2 or not all(isinstance(item, dict) for item in objects):",
        "if len(objects) != 2:",
        FRAME_TESTS + "what_is_no_frame_is_refused_by_name",
    ),
    Mutant(
        "frame: nested without end",
        FRAMES,
        "except RecursionError as error:",
        "except ZeroDivisionError as error:",
        FRAME_TESTS + "what_is_no_frame_is_refused_by_name",
    ),
    Mutant(
        "frame: op true is op 1",
        FRAMES,
        "if not isinstance(op, int) or isinstance(op, bool):",
        "if not isinstance(op, int):",
        FRAME_TESTS + "what_is_no_frame_is_refused_by_name",
    ),
    Mutant(
        "frame: a message without t",
        FRAMES,
        "if op == _MESSAGE or t is not None:",
        "if t is not None:",
        FRAME_TESTS + "what_is_no_frame_is_refused_by_name",
    ),
    removed(
        "frame: an error is a message",
        FRAMES,
        "op == _ERROR",
        FRAME_TESTS + "an_error_frame_ends_the_stream",
    ),
    Mutant(
        "frame: the scan misses a namespace",
        FRAMES,
        "any(prefix in frame for prefix in SCAN_PREFIXES)",
        "any(prefix in frame for prefix in SCAN_PREFIXES[:1])",
        FRAME_TESTS + "the_scan_finds_every_indexed_collection",
    ),
)

OF_EVENTS = (
    Mutant(
        "event: more than 200 ops",
        EVENTS,
        "if not isinstance(ops, list) or len(ops) > MAX_OPS:",
        "if not isinstance(ops, list):",
        EVENT_TESTS + "a_wrong_field_makes_a_commit_invalid",
    ),
    Mutant(
        "event: only 199 ops",
        EVENTS,
        "MAX_OPS = 200",
        "MAX_OPS = 199",
        EVENT_TESTS + "two_hundred_ops_and_two_million_bytes_are_legal",
    ),
    Mutant(
        "event: blocks of any size",
        EVENTS,
        "if not isinstance(value, bytes) or len(value) > limit:",
        "if not isinstance(value, bytes):",
        EVENT_TESTS + "a_wrong_field_makes_a_commit_invalid",
    ),
    Mutant(
        "event: a sync as large as a commit",
        EVENTS,
        '_bytes(body, "blocks", MAX_SYNC_BLOCKS)',
        '_bytes(body, "blocks", MAX_BLOCKS)',
        EVENT_TESTS + "a_wrong_field_makes_any_event_invalid",
    ),
    Mutant(
        "event: text of any length",
        EVENTS,
        "if not isinstance(value, str) or len(value) > limit:",
        "if not isinstance(value, str):",
        EVENT_TESTS + "a_wrong_field_makes_any_event_invalid",
    ),
    Mutant(
        "event: a seq below 1 or above 2⁵³−1",
        EVENTS,
        " or not 1 <= seq <= MAX_SEQ",
        "",
        EVENT_TESTS + "a_seq_outside_of_its_range_has_its_own_reason",
    ),
    Mutant(
        "event: seq true is seq 1",
        EVENTS,
        "not isinstance(seq, int) or isinstance(seq, bool) or",
        "not isinstance(seq, int) or",
        EVENT_TESTS + "a_seq_outside_of_its_range_has_its_own_reason",
    ),
    Mutant(
        "7: the envelope's rev need not be a TID",
        EVENTS,
        'rev=Tid.parse(_text(body, "rev"))',
        'rev=Tid(_text(body, "rev"))',
        EVENT_TESTS + "a_wrong_field_makes_a_commit_invalid",
    ),
    Mutant(
        "7: since need not be a TID",
        EVENTS,
        "Tid.parse(since)",
        "Tid(since)",
        EVENT_TESTS + "a_wrong_field_makes_a_commit_invalid",
    ),
    Mutant(
        "event: a repo that is no DID",
        EVENTS,
        "did = Did.parse(",
        "did = Did(",
        EVENT_TESTS + "a_wrong_field_makes_a_commit_invalid",
    ),
    Mutant(
        "op: a collection that is no NSID",
        EVENTS,
        "    Nsid.parse(collection)\n",
        "",
        EVENT_TESTS + "a_wrong_field_makes_a_commit_invalid",
    ),
    Mutant(
        "op: a record key that is none",
        EVENTS,
        "    RecordKey.parse(rkey)\n",
        "",
        EVENT_TESTS + "a_wrong_field_makes_a_commit_invalid",
    ),
    removed(
        "op: a path without a slash",
        EVENTS,
        "not slash",
        EVENT_TESTS + "a_path_without_a_slash_is_named",
    ),
    removed(
        "op: any action",
        EVENTS,
        "action is None",
        EVENT_TESTS + "a_wrong_field_makes_a_commit_invalid",
    ),
    Mutant(
        "op: a path of any length",
        EVENTS,
        '_text(op, "path", MAX_PATH)',
        '_text(op, "path", 1 << 30)',
        EVENT_TESTS + "a_path_is_at_most_1024_characters",
    ),
    Mutant(
        "event: tooBig may be a number",
        EVENTS,
        "    if not isinstance(value, bool):\n",
        "    if False:\n",
        EVENT_TESTS + "a_wrong_field_makes_a_commit_invalid",
    ),
    Mutant(
        "event: any time",
        EVENTS,
        "    parse_datetime(value)\n",
        "",
        EVENT_TESTS + "a_wrong_field_makes_a_commit_invalid",
    ),
)

OF_CAR = (
    Mutant(
        "1: a block need not hash to its CID",
        CAR,
        " or sha256(block).digest() != raw[4:]",
        "",
        "indexer/test_verify.py::test_every_block_hashes_to_its_cid",
    ),
    Mutant(
        "1: a second copy of a block need not hash to its CID",
        CAR,
        "if raw[:4] not in PREFIXES or",
        "if raw not in blocks and raw[:4] not in PREFIXES or raw not in blocks and",
        CAR_TESTS + "a_second_copy_of_a_block_is_checked_too",
    ),
    Mutant(
        "car: blocks of any hash and codec",
        CAR,
        "if raw[:4] not in PREFIXES or",
        "if",
        CAR_TESTS + "broken",
    ),
    removed(
        "car: of any size",
        CAR,
        "len(data) > max_bytes",
        CAR_TESTS + "limits_are_exact",
    ),
    removed(
        "car: of any number of blocks",
        CAR,
        "left == 0",
        CAR_TESTS + "limits_are_exact",
    ),
    Mutant(
        "car: copies of a block do not count",
        CAR,
        "        if left == 0:\n",
        "        if len(blocks) == max_blocks:\n",
        CAR_TESTS + "copies_of_one_block_count_as_blocks",
    ),
    removed(
        "car: a header of any size",
        CAR,
        "end - start > _MAX_HEADER",
        CAR_TESTS + "broken",
    ),
    Mutant(
        "car: of any version",
        CAR,
        'if not isinstance(header, dict) or header.get("version") != 1:',
        "if not isinstance(header, dict):",
        CAR_TESTS + "broken",
    ),
    removed(
        "car: roots that are no links",
        CAR,
        "len(cids) != len(roots)",
        CAR_TESTS + "broken",
    ),
    removed(
        "car: cut short",
        CAR,
        "length > len(data) - pos",
        CAR_TESTS + "cut_short_at_every_byte",
    ),
    Mutant(
        "car: a length with needless digits",
        CAR,
        "    if byte == 0:  # an empty section, or a length with needless digits\n",
        "    if length == 0:\n",
        CAR_TESTS + "broken",
    ),
    Mutant(
        "car: an ordinary header of any version",
        CAR,
        'gversion\\x01"',
        'gversion."',
        CAR_TESTS + "broken",
    ),
    removed(
        "car: a length without end",
        CAR,
        "shift > 56",
        CAR_TESTS + "a_length_without_end_is_not_read_to_its_end",
    ),
)

OF_CBOR = (
    removed(
        "cbor: numbers longer than need be",
        CBOR,
        "_minimal_size(value, max_depth) != len(data)",
        CBOR_TESTS + "not_strict",
    ),
    Mutant(
        "cbor: any order of keys, twice the same, other tags",
        CBOR,
        "        libipld.decode_dag_cbor(data)\n",
        "        pass\n",
        CBOR_TESTS + "not_strict",
    ),
    removed(
        "cbor: integers below -2⁶³",
        CBOR,
        "value < MIN_INTEGER",
        CBOR_TESTS + "not_strict",
    ),
    Mutant(
        "cbor: floats",
        CBOR,
        "if not isinstance(value, list | dict):\n"
        '        raise InvalidCbor(f"CBOR: {type(value).__name__} is not in the data model")\n'
        "    if depth == 0:",
        "if isinstance(value, float):\n        return 9\n    if depth == 0:",
        CBOR_TESTS + "not_strict",
    ),
    Mutant(
        "cbor: nested deeper than the limit",
        CBOR,
        "    if depth == 0:\n"
        '        raise InvalidCbor("CBOR: nested too deeply")\n'
        "    size = _head_size(len(value))",
        "    size = _head_size(len(value))",
        CBOR_TESTS + "the_limit_of_nesting",
    ),
    Mutant(
        "cbor: nested without end",
        CBOR,
        "except RecursionError as error:",
        "except ZeroDivisionError as error:",
        CBOR_TESTS + "very_deep_nesting_is_refused",
    ),
    Mutant(
        "cid: of any length, hash and codec",
        CID,
        "if type(raw) is not bytes or len(raw) != RAW_LENGTH or raw[:4] not in PREFIXES:",
        "if False:",
        CBOR_TESTS + "not_strict",
    ),
)

MUTANTS = (*OF_FRAMES, *OF_EVENTS, *OF_CAR, *OF_CBOR)
