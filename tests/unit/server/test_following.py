"""Following a run whose process is this one, in the moments in which it changes hands."""

from perdure.server.database import runs
from perdure.server.streams import Frame, Streams


class Raced:
    """A database that is read while this process claims the run, runs it to its end and forgets it."""

    def __init__(self):
        self.streams = Streams(self, 1 << 20)

    async def read(self, operation, *args):
        if operation is runs.get:
            channel = self.streams.channel("r")
            channel.is_local = True
            for number in (1, 2):
                channel.publish(Frame(number, "updates", b"{}", 0.0))
            self.streams.close("r")
            return None
        return []


async def test_a_run_that_is_over_before_its_listener_has_looked_is_told_whole():
    streams = Raced().streams
    listener = streams.listen("r")
    frames = [frame.seq async for frame in streams.follow({"run_id": "r", "kwargs": {}}, listener)]
    assert frames == [1, 2]
