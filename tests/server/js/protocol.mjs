// The SDK's client of the event protocol, and the controller behind `useStream`: `node protocol.mjs URL sse|websocket`.
import assert from "node:assert/strict";
import { Client } from "@langchain/langgraph-sdk";
import { StreamController } from "@langchain/langgraph-sdk/stream";

const [, , apiUrl, transport] = process.argv;
const client = new Client({ apiUrl });
const ask = (content) => ({ messages: [{ role: "human", content }] });
const all = async (iterable) => {
  const found = [];
  for await (const item of iterable) found.push(item);
  return found;
};
const until = async (holds, what) => {
  for (let n = 0; n < 1000; n += 1) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`it never came: ${what}`);
};

// a run: its values, messages, tools, output
let thread = client.threads.stream({ assistantId: "agent", transport });
const messages = all(thread.messages);
const calls = all(thread.toolCalls);
const started = await thread.run.start({ input: ask("rome paris") });
assert.equal(typeof started.run_id, "string");
const output = await thread.output;
assert.equal(output.messages.at(-1).content, "sunny-in-rome sunny-in-paris ");
await thread.close();
const texts = await Promise.all((await messages).map((message) => message.text));
assert.deepEqual(texts, ["", "sunny-in-rome sunny-in-paris "]);
const names = new Set((await calls).map((call) => `${call.name} ${call.input.place}`));
assert.deepEqual([...names].sort(), ["weather paris", "weather rome"]);

// two turns on one stream
const { thread_id } = await client.threads.create();
thread = client.threads.stream(thread_id, { assistantId: "line", transport });
for (const turn of [1, 2]) {
  const told = await thread.subscribe({ channels: ["values", "lifecycle"] });
  await thread.run.start({ input: { items: [turn] } });
  let items = [];
  for await (const { method, params } of told) {
    if (method === "values") items = params.data.items;
    if (method === "lifecycle" && params.data.event === "completed" && items.length === 3 * turn) break;
  }
  assert.equal(items.length, 3 * turn);
}
const state = await thread.state.get({ namespace: [] });
assert.equal(state.values.items.length, 6);
const { checkpoints } = await thread.state.listCheckpoints({ limit: 3 });
assert.equal(checkpoints.length, 3);
const fork = await thread.state.fork({ checkpoint_id: checkpoints[1].id });
assert.equal(fork.thread_id, thread.threadId);
await client.runs.join(thread.threadId, fork.run_id);
assert.equal((await thread.agent.getTree()).tree.graph_name, "line");
await thread.close();

// what graphs tell by name
thread = client.threads.stream({ assistantId: "telling", transport });
const progress = thread.extensions.progress;
await thread.run.start({ input: { items: [] } });
assert.deepEqual(await progress, { done: 1 });
await thread.close();

// a graph within, a question of it, and the answer
thread = client.threads.stream({ assistantId: "nested", transport });
await thread.run.start({ input: { items: [], ask: ["how?"] } });
await thread.output;
assert.ok(thread.interrupted);
const [question] = thread.interrupts;
assert.equal(question.payload, "how?");
assert.match(question.namespace[0], /^inner:/);
await thread.input.respond({ namespace: question.namespace, interrupt_id: question.interruptId, response: "so" });
let items = [];
for (let n = 0; n < 500 && items.length < 3; n += 1) {
  await new Promise((resolve) => setTimeout(resolve, 10));
  items = (await client.threads.getState(thread.threadId)).values.items ?? [];
}
assert.deepEqual(items, ["first", "so", "second"]);
await thread.close();
await assert.rejects(client.threads.stream({ assistantId: "nobody", transport }).run.start({ input: {} }), /nobody/);

// what `useStream` shows
const controller = new StreamController({ assistantId: "agent", client, transport });
controller.activate?.();
await controller.hydrate(null);
const shown = () => controller.rootStore.getSnapshot();
await controller.submit(ask("rome"));
const spoken = () => shown().messages.map((message) => message.text).join("|");
await until(() => !shown().isLoading && spoken() === "rome||sunny-in-rome|sunny-in-rome ", "the conversation");
await controller.submit(ask("paris"));
const second = "paris||sunny-in-paris|sunny-in-rome sunny-in-paris";
await until(() => !shown().isLoading && spoken().trim().endsWith(second), "the second turn");
assert.equal(shown().error ?? null, null);
await controller.dispose();

console.log("done");
process.exit(0);
