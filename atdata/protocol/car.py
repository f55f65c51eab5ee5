"""CAR v1: a header with roots, then blocks, each with its CID. Every block's hash is checked."""
# @dataclass(frozen=True) class Car: roots: tuple[Cid, ...]; blocks: Mapping[bytes, bytes]  (raw CID -> block)
# def read(data: bytes, *, max_blocks: int = 100_000) -> Car      raises InvalidCar, CidMismatch
# def write(roots: Sequence[Cid], blocks: Iterable[tuple[Cid, bytes]]) -> bytes
