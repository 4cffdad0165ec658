"""A portal that is far away: a TCP relay in a process of its own, through which every journey takes its time."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from tests.support.agi_script import REPOSITORY

MODULE = "tests.bench.delaying_proxy"


class DelayingProxy:
    """A relay on a free port of 127.0.0.1; a context manager.

    :param port: where the portal listens. :param seconds: from here to there and back.
    """

    def __init__(self, port: int, seconds: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(port), str(seconds)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._line())

    def __enter__(self) -> DelayingProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(10)

    def cut(self) -> None:
        """End all connections, as a firewall or the portal ends idle ones; they have ended when this returns."""
        assert self.process.stdin
        self.process.stdin.write("cut\n")
        self.process.stdin.flush()
        assert self._line() == "cut"

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


async def relay(source: asyncio.StreamReader, target: asyncio.StreamWriter, seconds: float) -> None:
    """Pass on what comes, each piece so many seconds after it came, until it ends."""
    loop = asyncio.get_running_loop()
    while True:
        data = await source.read(65536)
        if not data:
            break
        loop.call_later(seconds, target.write, data)
    await asyncio.sleep(seconds)
    target.close()


async def serve(port: int, seconds: float) -> None:
    """Relay to the port until standard input ends. A line there cuts all connections."""
    open_ones: set[asyncio.StreamWriter] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.add(writer)
        # The kernel accepts at once; a far host would have taken a journey there and back for its handshake.
        await asyncio.sleep(seconds)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(relay(reader, far_writer, seconds / 2), relay(far_reader, writer, seconds / 2))
        open_ones.discard(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        for writer in open_ones.copy():
            writer.close()
            await writer.wait_closed()
        print("cut", flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
