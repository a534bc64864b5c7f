"""leads-service as it would be if it did not wait for the disk at each commit.

It is compared with servers that do not wait either. The product has no such switch.
"""

from leads_service.__main__ import main
from leads_service.storage.sqlite import database

if __name__ == "__main__":
    database.flush = lambda _: None
    main()
