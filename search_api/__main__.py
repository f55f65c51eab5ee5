"""The search API alone, on a read-only copy of the index: ``python -m search_api``.

Configured by ``ATDATA_SEARCH_*`` (see ``search_api/config``).
"""

from __future__ import annotations

import uvicorn

from search_api.app import create_app
from search_api.config import SearchConfig
from search_api.connections import raise_file_limit, within_files
from search_api.database import Database, connect_read_only
from search_api.serving import ServerConfig
from search_api.text_index import TextIndex


def main() -> None:
    """Serve until stopped."""
    config = within_files(SearchConfig(), raise_file_limit())
    connection = connect_read_only(config.db)
    database = Database(connection, config.query_seconds)
    text_index = TextIndex(config.text_directory(), database)
    text_index.catch_up()
    app = create_app(database, text_index, config)
    try:
        uvicorn.Server(ServerConfig(app, config, log_level="info")).run()
    finally:
        text_index.close()
        connection.close()


if __name__ == "__main__":
    main()
