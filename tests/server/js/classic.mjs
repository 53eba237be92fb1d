// Every method of the SDK's classic client, against a live server: `node classic.mjs URL [PACKAGE]`.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

const { Client } = await import(process.argv[3] ?? "classic");
const client = new Client({ apiUrl: process.argv[2] });

const all = async (stream) => {
  const found = [];
  for await (const part of stream) found.push(part);
  return found;
};
const mark = randomUUID();

// assistants
const assistant = await client.assistants.create({ graphId: "line", name: "js", metadata: { mark }, config: { tags: ["a"] } });
assert.equal(assistant.graph_id, "line");
assert.equal((await client.assistants.get(assistant.assistant_id)).name, "js");
assert.ok((await client.assistants.getGraph(assistant.assistant_id, { xray: true })).nodes.some((node) => node.id === "first"));
assert.equal((await client.assistants.getSchemas(assistant.assistant_id)).graph_id, "line");
const [nested] = await client.assistants.search({ graphId: "nested", limit: 1 });
assert.deepEqual(Object.keys(await client.assistants.getSubgraphs(nested.assistant_id, { recurse: true })), ["inner"]);
assert.equal((await client.assistants.update(assistant.assistant_id, { name: "ts" })).version, 2);
assert.equal((await client.assistants.getVersions(assistant.assistant_id)).length, 2);
assert.equal((await client.assistants.setLatest(assistant.assistant_id, 1)).name, "js");
assert.equal((await client.assistants.search({ metadata: { mark } })).length, 1);
assert.equal(await client.assistants.count({ metadata: { mark } }), 1);
await client.assistants.delete(assistant.assistant_id);
await assert.rejects(client.assistants.get(assistant.assistant_id), /404/);

// threads
const thread = await client.threads.create({ metadata: { mark }, graphId: "line", ttl: 60 });
const id = thread.thread_id;
assert.equal((await client.threads.get(id)).status, "idle");
await client.threads.update(id, { metadata: { more: 1 } });
assert.equal((await client.threads.search({ metadata: { mark, more: 1 }, sortBy: "created_at" })).length, 1);
assert.equal(await client.threads.count({ metadata: { mark } }), 1);
await client.threads.updateState(id, { values: { items: ["set"] }, asNode: "first" });
const state = await client.threads.getState(id, undefined, { subgraphs: true });
assert.deepEqual([state.values.items, state.next], [["set"], ["second"]]);
assert.deepEqual((await client.threads.getState(id, state.checkpoint.checkpoint_id)).values.items, ["set"]);
assert.deepEqual((await client.threads.getState(id, state.checkpoint)).values.items, ["set"]);
assert.equal((await client.threads.getHistory(id, { limit: 1 }))[0].checkpoint.checkpoint_id, state.checkpoint.checkpoint_id);
await client.threads.patchState(id, { patched: true });
assert.equal((await client.threads.get(id)).metadata.patched, true);
const copy = await client.threads.copy(id);
assert.deepEqual(copy.values.items, ["set"]);
await client.threads.delete(copy.thread_id);
const made = await client.threads.create({
  graphId: "line",
  supersteps: [{ updates: [{ values: { items: [] }, asNode: "__start__" }] }, { updates: [{ values: { items: ["x"] }, asNode: "first" }] }],
});
assert.deepEqual(made.values.items, ["x"]);
assert.ok((await client.threads.prune?.([made.thread_id], { strategy: "delete" })) ?? true);

// runs
const given = { items: [] };
const run = await client.runs.create(id, "line", { input: given, metadata: { mark }, onRunCreated: (created) => assert.equal(created.thread_id, id) });
assert.deepEqual((await client.runs.join(id, run.run_id)).items.slice(-2), ["first", "second"]);
assert.equal((await client.runs.get(id, run.run_id)).status, "success");
assert.equal((await client.runs.list(id, { limit: 5, status: "success" })).length, 1);
assert.deepEqual((await client.runs.wait(null, "line", { input: given })).items, ["first", "second"]);
await assert.rejects(client.runs.wait(null, "line", { input: { items: [], fail: "boom" } }), /ValueError: boom/);
const parts = await all(client.runs.stream(id, "line", { input: given, streamMode: ["updates", "custom"], streamResumable: true }));
assert.deepEqual(parts.map((part) => part.event), ["metadata", "updates", "custom", "updates"]);
const again = await all(client.runs.joinStream(id, parts[0].data.run_id, { lastEventId: "-1" }));
assert.deepEqual(again, parts);
const rest = await all(client.runs.joinStream(id, parts[0].data.run_id, { lastEventId: parts[1].id, streamMode: ["updates", "custom"] }));
assert.deepEqual(rest, parts.slice(2));
const messages = await all(client.runs.stream(null, "agent", { input: { messages: [{ role: "human", content: "rome" }] }, streamMode: "messages" }));
assert.equal(messages.filter((part) => part.event === "messages/partial").at(-1).data[0].content, "sunny-in-rome ");
const waiting = await client.runs.wait(id, "line", { input: { items: [], ask: ["?"] } });
assert.equal(waiting.__interrupt__[0].value, "?");
const answered = await client.runs.wait(id, "line", { command: { resume: "so" } });
assert.deepEqual(answered.items.slice(-2), ["so", "second"]);
const slow = await client.runs.create(id, "line", { input: { items: [], sleep: 30 }, multitaskStrategy: "enqueue" });
await client.runs.cancel(id, slow.run_id, true);
assert.equal((await client.runs.get(id, slow.run_id)).status, "interrupted");
await client.runs.delete(id, slow.run_id);
await assert.rejects(client.runs.get(id, slow.run_id), /404/);
const batch = await client.runs.createBatch([
  { assistantId: "line", input: given, streamMode: "updates", multitaskStrategy: "enqueue", metadata: { mark } },
  { assistantId: "line", input: given, afterSeconds: 3600 },
]);
assert.equal(batch.length, 2);
assert.deepEqual(batch[0].kwargs.stream_mode, ["updates"]);
const heard = (async () => {
  const seen = [];
  for await (const part of client.threads.joinStream(id, { streamMode: "run_modes" })) {
    seen.push(part);
    if (part.event === "metadata" && part.data.status === "run_done") return seen;
  }
})();
await new Promise((resolve) => setTimeout(resolve, 500));
await client.runs.wait(id, "line", { input: { items: [], sleep: 0 } }); // the state's is that of the cancelled run
assert.ok((await heard).length > 1);

// crons
const cron = await client.crons.create("line", { schedule: "0 0 1 1 *", input: given, metadata: { mark }, onRunCompleted: "keep" });
const own = await client.crons.createForThread(id, "line", { schedule: "0 0 1 1 *", input: given, metadata: { mark } });
assert.equal(own.thread_id, id);
assert.equal((await client.crons.update(cron.cron_id, { enabled: false })).enabled, false);
assert.equal((await client.crons.search({ threadId: id })).length, 1);
assert.ok((await client.crons.count({ assistantId: cron.assistant_id })) >= 2);
for (const one of [cron, own]) await client.crons.delete(one.cron_id);

// store
const space = ["js", mark];
await client.store.putItem(space, "k", { a: 1 }, { index: false, ttl: 10 });
assert.deepEqual((await client.store.getItem(space, "k", { refreshTtl: true })).value, { a: 1 });
assert.equal((await client.store.searchItems(space, { filter: { a: 1 } })).items.length, 1);
assert.deepEqual((await client.store.listNamespaces({ prefix: ["js"], suffix: [mark] })).namespaces, [space]);
await client.store.deleteItem(space, "k");
assert.equal(await client.store.getItem(space, "k"), null);

await client.threads.delete(id);
await assert.rejects(client.threads.get(id), /404/);
console.log("done");
process.exit(0);
