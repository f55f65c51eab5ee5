"""Licences as people write them, and the SPDX expressions that they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atdata.protocol.licenses import MAX_CHARS, spdx_of


@pytest.mark.parametrize(
    ("written", "spdx"),
    [
        ("CC-BY-4.0", "CC-BY-4.0"),
        ("cc-by-4.0", "CC-BY-4.0"),
        ("CC BY 4.0", "CC-BY-4.0"),
        ("  cc by 4.0 ", "CC-BY-4.0"),
        ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
        ("CC-BY-NC-SA 4.0", "CC-BY-NC-SA-4.0"),
        ("https://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("http://www.creativecommons.org/licenses/by-nc/4.0/deed.de", "CC-BY-NC-4.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("CC0", "CC0-1.0"),
        ("Apache 2.0", "Apache-2.0"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("https://www.apache.org/licenses/LICENSE-2.0", "Apache-2.0"),
        ("MIT License", "MIT"),
        ("The MIT Licence", "MIT"),
        ("https://opensource.org/licenses/MIT", "MIT"),
        ("https://spdx.org/licenses/BSD-3-Clause.html", "BSD-3-Clause"),
        ("GPL-2.0", "GPL-2.0-only"),
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("GPLv3", "GPL-3.0-only"),
        ("apache-2.0 or mit", "Apache-2.0 OR MIT"),
        ("MIT OR (Apache-2.0 AND BSD-3-Clause)", "MIT OR (Apache-2.0 AND BSD-3-Clause)"),
        (
            "GPL-2.0-or-later WITH Classpath-exception-2.0",
            "GPL-2.0-or-later WITH Classpath-exception-2.0",
        ),
    ],
)
def test_reads_what_people_write(written: str, spdx: str) -> None:
    assert spdx_of(written) == spdx


@pytest.mark.parametrize(
    "written",
    [
        None,
        "",
        "   ",
        "custom",
        "proprietary",
        "UNLICENSED",
        "LicenseRef-mine",
        "Classpath-exception-2.0",
        "MIT AND",
        "AND",
        "MIT (Apache-2.0)",
        "((((",
        "(" * 100 + "MIT" + ")" * 100,
        "MIT WITH MIT",
        "\x00",
        "x" * (MAX_CHARS + 1),
    ],
)
def test_leaves_alone_what_is_no_spdx(written: str | None) -> None:
    assert spdx_of(written) is None


PARTS = ["MIT", "GPL-2.0+", "(", ")", "AND", "or", "WITH", "Classpath-exception-2.0", "&", "\x00"]


@given(st.lists(st.sampled_from(PARTS), max_size=20).map(" ".join) | st.text(max_size=250))
def test_hostile_text_never_raises_and_the_answer_is_stable(written: str) -> None:
    spdx = spdx_of(written)
    assert spdx is None or spdx_of(spdx) == spdx
