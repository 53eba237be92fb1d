"""The event protocol: commands to a thread, and its events as JSON, over HTTP or a WebSocket.

Its schema is that of the package `langchain-protocol`. Rooms: `telling` (from a run's parts to events), `messages`,
`wire` (events as they are stored and sent, and who wants which), `replay` (where a stream begins), `ends` (when an end
is told), `commands`, `socket`.

Rules:
1. A run that was asked for by a command tells all channels, and so does one whose thread is listened to when it begins.
   Who listens later is told what it tells anyway, and its end. Events are written down beside those of other runs,
   with names that begin with `~`, before anybody sees them: any process can tell them, and again.
2. The number of an event, `seq`, is its row's: it grows along the thread, with gaps. Its `event_id` names the run and
   the event's number in it.
3. A stream that doesn't say `since` begins with the first event of the run that goes on, or of the newest.
4. A client takes a run's end for the end of all that it listens to: it isn't sent before what came before it.
"""
