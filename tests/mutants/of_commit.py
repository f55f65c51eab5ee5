"""Mutants of the signed commit object, its keys, and who is asked for a key."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, removed

COMMIT = "indexer/commit.py"
PROOFS = "indexer/proofs.py"
TESTS = "indexer/test_commit.py::test_"
VERIFY_TESTS = "indexer/test_verify.py::test_"
PIPELINE_TESTS = "indexer/test_pipeline.py::test_"

KEYS = (
    removed(
        "key: a signature of any length",
        COMMIT,
        "len(signature) != 64",
        TESTS + "a_signature_has_one_form",
    ),
    Mutant(
        "key: high-S is as good as low-S",
        COMMIT,
        "0 < s <= order // 2",
        "0 < s < order",
        TESTS + "a_signature_has_one_form",
    ),
    Mutant(
        "key: s may not be half of the order",
        COMMIT,
        "0 < s <= order // 2",
        "0 < s < order // 2",
        TESTS + "s_is_at_most_half_of_the_order",
    ),
    Mutant(
        "key: one order for both curves",
        COMMIT,
        "order = _ORDER[self.curve]",
        "order = _ORDER[Curve.K256]",
        TESTS + "s_is_at_most_half_of_the_order",
    ),
    Mutant(
        "key: k256 signatures are all good",
        COMMIT,
        "return self._key.verify(der, message)",
        "return True",
        TESTS + "a_signature_is_of_its_key_and_message",
    ),
    Mutant(
        "key: p256 signatures are all good",
        COMMIT,
        "        except InvalidSignature:\n            return False\n",
        "        except InvalidSignature:\n            return True\n",
        TESTS + "a_signature_is_of_its_key_and_message",
    ),
    Mutant(
        "key: an uncompressed point",
        COMMIT,
        "if curve is None or len(point) != 33:",
        "if curve is None:",
        TESTS + "what_is_no_key_is_refused",
    ),
    Mutant(
        "key: any multibase",
        COMMIT,
        'not text.removeprefix(_DID_KEY).startswith("z")',
        "not text",
        TESTS + "what_is_no_key_is_refused",
    ),
    Mutant(
        "key: text of any length",
        COMMIT,
        "if len(text) > _MAX_KEY_TEXT or not",
        "if not",
        TESTS + "what_is_too_long_for_a_key_is_not_decoded",
    ),
)

OBJECT = (
    Mutant(
        "1: a commit object of any version",
        COMMIT,
        'if not isinstance(value, dict) or value.get("version") != VERSION:',
        "if not isinstance(value, dict):",
        VERIFY_TESTS + "the_commit_object_has_version_3",
    ),
    removed(
        "object: as large as it likes",
        COMMIT,
        "len(block) > MAX_COMMIT",
        TESTS + "what_is_no_commit_object_is_refused",
    ),
    Mutant(
        "object: nested as deep as it likes",
        COMMIT,
        "cbor.decode(block, max_depth=MAX_DEPTH)",
        "cbor.decode(block)",
        TESTS + "what_is_no_commit_object_is_refused",
    ),
    Mutant(
        "object: data of any codec",
        COMMIT,
        " or data.codec != DAG_CBOR",
        "",
        TESTS + "what_is_no_commit_object_is_refused",
    ),
    Mutant(
        "object: prev may be left out",
        COMMIT,
        ' or "prev" not in value',
        "",
        TESTS + "what_is_no_commit_object_is_refused",
    ),
    Mutant(
        "object: prev may be anything",
        COMMIT,
        'if not (prev is None or isinstance(prev, Cid)) or "prev" not in value:',
        'if "prev" not in value:',
        TESTS + "what_is_no_commit_object_is_refused",
    ),
    Mutant(
        "object: a rev that is no TID",
        COMMIT,
        "Tid.parse(rev)",
        "Tid(rev)",
        TESTS + "what_is_no_commit_object_is_refused",
    ),
    Mutant(
        "object: a did that is none",
        COMMIT,
        "Did.parse(did)",
        "Did(did)",
        TESTS + "what_is_no_commit_object_is_refused",
    ),
    Mutant(
        "2: of an ordinary object the signature covers nothing that comes after it",
        COMMIT,
        'unsigned = b"\\xa5" + before + after',
        'unsigned = b"\\xa5" + before',
        TESTS + "a_commit_object_is_read_and_its_signature_covers_the_rest",
    ),
    Mutant(
        "object: an ordinary one may end in anything",
        COMMIT,
        ").fullmatch",
        ").match",
        TESTS + "what_is_no_commit_object_is_refused",
    ),
    Mutant(
        "1: an ordinary object of any version",
        COMMIT,
        "gversion\\x03)",
        "gversion.)",
        VERIFY_TESTS + "the_commit_object_has_version_3",
    ),
    Mutant(
        "object: an ordinary one with data of any codec",
        COMMIT,
        "(\\x01\\x71\\x12\\x20.{32})dprev",
        "(\\x01.\\x12\\x20.{32})dprev",
        TESTS + "what_is_no_commit_object_is_refused",
    ),
    Mutant(
        "2: the signature covers only what we know",
        COMMIT,
        "return cls._of(did, rev, data, prev, sig, cbor.encode(value))",
        'names = "did version rev data prev".split()\n'
        "        covered = {k: v for k, v in value.items() if k in names}\n"
        "        return cls._of(did, rev, data, prev, sig, cbor.encode(covered))",
        VERIFY_TESTS + "the_signature_covers_every_field_of_the_commit_object",
    ),
    Mutant(
        "2: the signature does not cover prev",
        COMMIT,
        "return cls._of(did, rev, data, prev, sig, cbor.encode(value))",
        'return cls._of(did, rev, data, prev, sig, cbor.encode({**value, "prev": None}))',
        VERIFY_TESTS + "the_signature_covers_every_field_of_the_commit_object",
    ),
)

IDENTITY = (
    Mutant(
        "2: the identity is not refreshed",
        PROOFS,
        "proof = self._verify(event, self._resolver.refresh(event.did))",
        "proof = self._verify(event, self._resolver.resolve(event.did))",
        PIPELINE_TESTS + "a_key_that_was_rotated_is_found_before_the_identity_event",
    ),
    Mutant(
        "2: a handle is looked up before the signature is good",
        PROOFS,
        "wanted = renewed if known else verified",
        "wanted = True",
        PIPELINE_TESTS + "a_forged_commit_is_refused_and_causes_no_fetch_but_of_the_key",
    ),
    Mutant(
        "2: an unknown account is one that can't be asked for",
        PROOFS,
        "return Rejected(DropReason.IDENTITY_NOT_FOUND, str(error), None)",
        "return Rejected(DropReason.IDENTITY_UNAVAILABLE, str(error), None)",
        PIPELINE_TESTS + "an_unknown_account_is_named",
    ),
    Mutant(
        "2: an identity event leaves the old document",
        PROOFS,
        "            self._resolver.forget(did)\n",
        "            pass\n",
        PIPELINE_TESTS + "a_handle_counts_only_when_it_leads_back",
    ),
)

MUTANTS = (*KEYS, *OBJECT, *IDENTITY)
