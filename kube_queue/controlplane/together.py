"""Work done side by side, of which nothing goes on once a part of it has failed."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """All of it is done; when one part fails, the others are cancelled and over, and it raises.

    asyncio.gather would let the others go on, to start programs that nobody stops any more.
    """
    tasks = [asyncio.ensure_future(part) for part in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
