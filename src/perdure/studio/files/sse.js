// A stream of events that outlives its connections: fetched, read as it comes, gone on with after the last one seen.

import { send, ApiError } from "./api.js";

const SILENCE = 15000; // the server beats every five seconds
const SLOWEST = 5000;

/** Yield the events of a stream of bytes (HTML standard, section 9.2.6). */
export async function* parsed(stream, onBytes = () => {}) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { event: "message", data: [], id: null };
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      onBytes();
      rest += value;
      // A lone \r at the end may be half of \r\n: it waits.
      const lines = rest.split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line !== "") {
          take(event, line);
          continue;
        }
        if (event.data.length) yield { ...event, data: event.data.join("\n") };
        event = { event: "message", data: [], id: null };
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function take(event, line) {
  const colon = line.indexOf(":");
  if (colon === 0) return;
  const name = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
  if (name === "data") event.data.push(value);
  else if (name === "event" || name === "id") event[name] = value;
}

/** Follows a stream until it is told to stop; a lost connection is made anew, and nothing is missed between. */
export class Follower {
  /**
   * @param path where the stream is
   * @param onEvent called with each event: its name, its data, its id
   * @param onState called with "open", "lost" or "refused", and an error
   */
  constructor(path, { onEvent, onState }) {
    this.path = path;
    this.onEvent = onEvent;
    this.onState = onState;
    this.last = "-1";
    this.stopping = null;
  }

  start() {
    if (this.stopping) return;
    this.stopping = new AbortController();
    this.run(this.stopping.signal);
  }

  stop() {
    this.stopping?.abort();
    this.stopping = null;
  }

  async run(stopped) {
    let wait = 250;
    while (!stopped.aborted) {
      try {
        await this.once(stopped, () => (wait = 250));
      } catch (error) {
        if (stopped.aborted) return;
        const final = error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429;
        this.onState(final ? "refused" : "lost", error);
        if (final) return;
      }
      if (stopped.aborted) return;
      this.onState("lost");
      await new Promise((done) => setTimeout(done, wait));
      wait = Math.min(wait * 2, SLOWEST);
    }
  }

  async once(stopped, opened) {
    const silent = new AbortController();
    const signal = AbortSignal.any([stopped, silent.signal]);
    let timer = setTimeout(() => silent.abort(), SILENCE);
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE);
    };
    try {
      const response = await send("GET", this.path, { headers: { "Last-Event-ID": this.last }, signal });
      opened();
      this.onState("open");
      for await (const event of parsed(response.body, alive)) {
        if (stopped.aborted) return;
        if (event.id) this.last = event.id;
        this.onEvent(event.event, JSON.parse(event.data), event.id);
      }
    } finally {
      clearTimeout(timer);
    }
  }
}
