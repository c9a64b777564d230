// The official client against the endpoint: every call that a dashboard or a script makes. Prints one JSON object of what it saw.
import { createClient } from "@clickhouse/client";
import { Readable } from "node:stream";

const url = process.argv[2];
const client = createClient({ url, compression: { request: true, response: true } });
const rows = async (query, format, more = {}) => (await client.query({ query, format, ...more })).json();
const seen = { ping: (await client.ping()).success };

await client.command({ query: "CREATE OR REPLACE TABLE node_client (id UInt64, name String, at DateTime64(3)) ENGINE = MergeTree ORDER BY id" });
const inserted = await client.insert({
  table: "node_client",
  values: [{ id: 1, name: "it's", at: "2026-11-23 10:00:00.123" }, { id: 2, name: "two\nlines", at: 0 }],
  format: "JSONEachRow",
});
seen.inserted = inserted.executed;
seen.written_rows = inserted.summary?.written_rows;
await client.insert({
  table: "node_client",
  values: Readable.from((function* () { for (let id = 3; id <= 5000; id++) yield { id, name: `n${id}`, at: id }; })(), { objectMode: true }),
  format: "JSONEachRow",
});
await client.insert({ table: "node_client", values: Readable.from(["5001,csv,2026-01-01 00:00:00\n"], { objectMode: false }), format: "CSV" });
seen.count = (await rows("SELECT count() AS c FROM node_client", "JSONEachRow"))[0].c;
seen.names = (await rows("SELECT name FROM node_client WHERE id <= {last: UInt64} ORDER BY id", "JSONEachRow", { query_params: { last: 2 } })).map((row) => row.name);
const whole = await rows("SELECT id, name FROM node_client ORDER BY id LIMIT 1", "JSON");
seen.json = { meta: whole.meta, data: whole.data, rows: whole.rows, has_statistics: "statistics" in whole };
let streamed = 0;
for await (const part of (await client.query({ query: "SELECT number FROM numbers(200000)", format: "JSONCompactEachRow" })).stream()) streamed += part.length;
seen.streamed = streamed;
const raw = await client.exec({ query: "SELECT 1 AS one FORMAT CSVWithNames" });
let text = "";
for await (const chunk of raw.stream) text += chunk;
seen.exec = text;
seen.setting = (await rows("SELECT getSetting('max_threads') AS t", "JSONEachRow", { clickhouse_settings: { max_threads: 1 } }))[0].t;
try {
  await rows("SELECT * FROM nowhere", "JSONEachRow");
} catch (error) {
  seen.error = { code: error.code, type: error.type };
}
const aborter = new AbortController();
setTimeout(() => aborter.abort(), 300);
try {
  await rows("SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 7", "JSON", { abort_signal: aborter.signal });
} catch (error) {
  seen.aborted = error.message;
}
await client.close();
console.log(JSON.stringify(seen));
