"""The protocol's identifiers, one small frozen type each; raw strings stop at the edge.

Rules: https://atproto.com/specs/{did,handle,nsid,record-key,tid,at-uri-scheme}. Every ``parse``
raises ``InvalidSyntax`` and nothing else, for any input. ``str(x)`` gives the text back.
"""
# class Did(str), Handle(str) (normalised to lower case by parse), Nsid(str; .name .authority),
# RecordKey(str), Tid(str; .timestamp_us -> int; Tid.from_parts(us, clock_id), TidClock in atmosphere),
# AtUri(frozen dataclass: authority: Did|Handle, collection: Nsid|None, rkey: RecordKey|None, fragment)
#   AtUri.parse(text), AtUri.of(did, collection, rkey), str()
# plus functions: parse_datetime(text) -> datetime (aware), is_valid_language, is_valid_uri,
# parse_at_identifier(text) -> Did | Handle
