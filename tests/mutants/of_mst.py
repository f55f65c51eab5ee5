"""Mutants of the Merkle search tree: how it is read, and how ops are undone on it."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, removed

MST = "indexer/mst.py"
EDIT = "indexer/mst_edit.py"
TESTS = "indexer/test_mst.py::test_"

NODE = (
    removed(
        "node: an encoding that is not canonical",
        MST,
        'len(node) != 2 or "l" not in node or libipld.encode_dag_cbor(node) != block',
        TESTS + "a_node_that_breaks_a_rule_is_refused",
    ),
    Mutant(
        "node: more fields than four",
        MST,
        "if not isinstance(entry, dict) or len(entry) != 4 or",
        "if not isinstance(entry, dict) or",
        TESTS + "a_node_that_breaks_a_rule_is_refused",
    ),
    Mutant(
        "node: more fields than two",
        MST,
        "if len(node) != 2 or",
        "if",
        TESTS + "a_node_that_breaks_a_rule_is_refused",
    ),
    Mutant(
        "node: another field for the left link",
        MST,
        ' or "l" not in node',
        "",
        TESTS + "a_node_that_breaks_a_rule_is_refused",
    ),
    Mutant(
        "node: another field for an entry's subtree",
        MST,
        ' or "t" not in entry',
        "",
        TESTS + "a_node_that_breaks_a_rule_is_refused",
    ),
    Mutant(
        "node: a prefix that is not the longest",
        MST,
        "if suffix[:1] == last[prefix : prefix + 1]:",
        "if False:",
        TESTS + "a_node_that_breaks_a_rule_is_refused",
    ),
    Mutant(
        "node: prefix true is prefix 1",
        MST,
        "if type(prefix) is not int or",
        "if not isinstance(prefix, int) or",
        TESTS + "a_prefix_length_is_no_truth_value",
    ),
    Mutant(
        "node: a prefix length beyond the key before",
        MST,
        "if not 0 <= prefix <= len(last):",
        "if prefix < 0:",
        TESTS + "a_prefix_length_is_within_the_key_before",
    ),
    Mutant(
        "node: a negative prefix length",
        MST,
        "if not 0 <= prefix <= len(last):",
        "if prefix > len(last):",
        TESTS + "a_prefix_length_is_within_the_key_before",
    ),
    Mutant(
        "node: keys in any order",
        MST,
        "if key <= last:",
        "if key == last:",
        TESTS + "a_node_that_breaks_a_rule_is_refused",
    ),
    Mutant(
        "node: keys of any characters",
        MST,
        " or _KEY.fullmatch(key) is None",
        "",
        TESTS + "a_node_that_breaks_a_rule_is_refused",
    ),
    Mutant(
        "node: what comes after a key's end",
        MST,
        "_KEY.fullmatch(key) is None",
        "_KEY.match(key) is None",
        TESTS + "a_node_that_breaks_a_rule_is_refused",
    ),
    Mutant(
        "node: keys of any length",
        MST,
        "len(key) > MAX_KEY or ",
        "",
        TESTS + "a_node_that_breaks_a_rule_is_refused",
    ),
    Mutant(
        "node: keys of 1,023 characters at most",
        MST,
        "MAX_KEY = 1024",
        "MAX_KEY = 1023",
        TESTS + "a_key_of_1024_characters_is_legal",
    ),
    Mutant(
        "node: a value may be missing",
        MST,
        "        if value is None:\n"
        '            raise _invalid(f"key {quote(last)} has no value")\n',
        '        value = value or b""\n',
        TESTS + "a_node_that_breaks_a_rule_is_refused",
    ),
    Mutant(
        "node: links of any codec",
        MST,
        " or not value.startswith(_NODE_PREFIX)",
        "",
        TESTS + "a_node_that_breaks_a_rule_is_refused",
    ),
    Mutant(
        "node: nested without end",
        MST,
        "except (RecursionError, ValueError) as error:",
        "except ValueError as error:",
        TESTS + "a_node_that_breaks_a_rule_is_refused",
    ),
)

PLACE = (
    Mutant(
        "place: keys of any height",
        MST,
        "        if key_height(key) != layer:\n",
        "        if False:\n",
        TESTS + "a_node_that_breaks_a_rule_is_refused",
    ),
    Mutant(
        "place: only the first key's height counts",
        MST,
        "    for key in keys:\n        if key_height(key) != layer:",
        "    for key in keys[:1]:\n        if key_height(key) != layer:",
        TESTS + "a_node_that_breaks_a_rule_is_refused",
    ),
    Mutant(
        "place: a height is counted bit by bit",
        MST,
        "return (256 - int.from_bytes(sha256(key).digest()).bit_length()) // 2",
        "return 256 - int.from_bytes(sha256(key).digest()).bit_length()",
        "indexer/test_mst_interop.py",
    ),
    Mutant(
        "place: a subtree may skip a layer",
        MST,
        "self.load(link, layer - 1, *bounds)",
        "self.load(link, (lambda ks: key_height(ks[0]) if ks else layer - 1)"
        "(parse_node(self._blocks.get(link, _EMPTY))[0]), *bounds)",
        TESTS + "a_subtree_that_skips_a_layer_is_refused",
    ),
    Mutant(
        "place: a subtree may skip a layer where the tree is walked",
        MST,
        "yield from self.items(link, layer - 1, *bounds)",
        "yield from self.items(link, (lambda ks: key_height(ks[0]) if ks else layer - 1)"
        "(parse_node(self._blocks.get(link, _EMPTY))[0]), *bounds)",
        TESTS + "a_subtree_that_skips_a_layer_is_refused",
    ),
    Mutant(
        "place: below its range where the tree is walked",
        MST,
        "yield from self.items(link, layer - 1, *bounds)",
        'yield from self.items(link, layer - 1, b"", bounds[1])',
        TESTS + "a_subtree_below_its_range_is_refused",
    ),
    Mutant(
        "place: above its range where the tree is walked",
        MST,
        "yield from self.items(link, layer - 1, *bounds)",
        "yield from self.items(link, layer - 1, bounds[0], None)",
        TESTS + "a_subtree_in_the_wrong_place_is_refused",
    ),
    Mutant(
        "place: below its range where the tree is loaded",
        MST,
        "self.load(link, layer - 1, *bounds)",
        'self.load(link, layer - 1, b"", bounds[1])',
        TESTS + "a_subtree_below_its_range_is_refused",
    ),
    Mutant(
        "place: above its range where the tree is loaded",
        MST,
        "self.load(link, layer - 1, *bounds)",
        "self.load(link, layer - 1, bounds[0], None)",
        TESTS + "a_subtree_in_the_wrong_place_is_refused",
    ),
    removed(
        "node: any number of entries",
        MST,
        "len(entries) > MAX_ENTRIES",
        TESTS + "a_node_has_a_bounded_number_of_entries",
    ),
    Mutant(
        "node: a link of any length",
        MST,
        "not isinstance(value, bytes) or len(value) != 36 or",
        "not isinstance(value, bytes) or",
        TESTS + "a_link_is_a_whole_cid",
    ),
    Mutant(
        "place: below its range",
        MST,
        "if keys and (keys[0] <= low or (high is not None and keys[-1] >= high)):",
        "if keys and high is not None and keys[-1] >= high:",
        TESTS + "a_subtree_below_its_range_is_refused",
    ),
    Mutant(
        "place: above its range",
        MST,
        "if keys and (keys[0] <= low or (high is not None and keys[-1] >= high)):",
        "if keys and keys[0] <= low:",
        TESTS + "a_subtree_in_the_wrong_place_is_refused",
    ),
    Mutant(
        "place: an empty node below the root",
        MST,
        "    if not keys and links[0] is None:\n        raise",
        "    if False:\n        raise",
        TESTS + "a_subtree_in_the_wrong_place_is_refused",
    ),
    removed(
        "place: a root without keys",
        MST,
        "layer < 0",
        TESTS + "a_node_that_breaks_a_rule_is_refused",
    ),
    removed(
        "place: a subtree below layer 0",
        MST,
        "layer == 0 and any(link is not None for link in links)",
        TESTS + "a_node_that_breaks_a_rule_is_refused",
    ),
    removed(
        "place: one node in two places",
        MST,
        "raw in self._seen",
        TESTS + "one_node_in_two_places_is_refused_at_once",
    ),
)

PARTIAL = (
    removed(
        "partial: a walk may lack nodes",
        MST,
        "self._whole",
        TESTS + "a_walk_of_a_partial_tree_does_not_end",
    ),
    Mutant(
        "partial: what is missing is empty",
        MST,
        "return None if tree is None else loaded(tree)",
        "return None if tree is None or isinstance(tree, bytes) else loaded(tree)",
        TESTS + "what_is_not_at_hand_is_neither_there_nor_absent",
    ),
)

EDITS = (
    removed(
        "edit: a key that is there is put again",
        EDIT,
        "found",
        TESTS + "an_edit_takes_nothing_for_granted",
    ),
    Mutant(
        "edit: a delete of what is not there",
        EDIT,
        "def _delete(node: Node | None, key: bytes) -> Tree:\n"
        "    if node is None:\n        raise _absent(key)",
        "def _delete(node: Node | None, key: bytes) -> Tree:\n"
        "    if node is None:\n        return None",
        TESTS + "an_edit_takes_nothing_for_granted",
    ),
    Mutant(
        "edit: a replacement of what is not there",
        EDIT,
        "def _replace(node: Node | None, key: bytes, value: bytes) -> Node:\n"
        "    if node is None:\n        raise _absent(key)",
        "def _replace(node: Node | None, key: bytes, value: bytes) -> Node:\n"
        "    if node is None:\n        return Node(0, (key,), (value,), (None, None))",
        TESTS + "an_edit_takes_nothing_for_granted",
    ),
    Mutant(
        "edit: layers that hold nothing stay on top",
        EDIT,
        "    while isinstance(tree, Node) and not tree.keys:\n        tree = tree.links[0]\n",
        "",
        TESTS + "edits_give_the_tree_of_what_is_left",
    ),
    Mutant(
        "edit: neighbours are not merged",
        EDIT,
        "(*low.links[:-1], _merge(low.links[-1], high.links[0]), *high.links[1:])",
        "(*low.links[:-1], low.links[-1], *high.links[1:])",
        "properties/test_trees.py",
    ),
    Mutant(
        "edit: an insert does not split what is below",
        EDIT,
        "links = (*node.links[:i], *_split(link, key), *node.links[i + 1 :])",
        "links = (*node.links[:i], link, None, *node.links[i + 1 :])",
        "properties/test_trees.py",
    ),
    Mutant(
        "edit: a key above the root does not split it",
        EDIT,
        "        left, right = _split(node, key)\n",
        "        left, right = node, None\n",
        TESTS + "edits_give_the_tree_of_what_is_left",
    ),
    Mutant(
        "edit: no layers between",
        EDIT,
        "        node = Node(node.layer + 1, (), (), (node,))\n",
        "        break\n",
        TESTS + "edits_give_the_tree_of_what_is_left",
    ),
    Mutant(
        "edit: an empty node is kept",
        EDIT,
        "return Node(layer, keys, values, links) if keys or links[0] is not None else None",
        "return Node(layer, keys, values, links)",
        TESTS + "edits_give_the_tree_of_what_is_left",
    ),
)

MUTANTS = (*NODE, *PLACE, *PARTIAL, *EDITS)
