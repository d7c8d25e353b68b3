// Calls the module that `wasm.rs` makes:
//
//     node wasm.mjs MODULE contract CASES        the contract suite on the best table of the module
//     node wasm.mjs MODULE run FILE SECONDS      milliseconds of a run of a model, and the digest of its output
import { readFileSync } from "node:fs";

const [path, task, ...words] = process.argv.slice(2);
const bytes = readFileSync(path);
const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
const table = exports.best_table();

if (task === "contract") {
  for (let op = 0; op < exports.ops(); op++) {
    const failed = exports.contract(table, op, Number(words[0]));
    if (failed !== -1) {
      console.error(`table ${table}, op ${op}: case ${failed} fails`);
      process.exit(1);
    }
  }
  console.log(`table ${table}: ${exports.ops()} ops keep the contract on ${words[0]} cases each`);
} else {
  const file = readFileSync(words[0]);
  const place = exports.model_place(file.length);
  if (place === 0) throw new Error("the model is too large");
  new Uint8Array(exports.memory.buffer, place, file.length).set(file);
  const digest = exports.run(table, file.length, 1);
  if (digest === 0n) throw new Error("the model does not run");
  const times = [];
  const end = performance.now() + 1000 * Number(words[1]);
  while (performance.now() < end) {
    const start = performance.now();
    exports.run(table, file.length, 10);
    times.push((performance.now() - start) / 10);
  }
  times.sort((a, b) => a - b);
  const middle = times[times.length >> 1];
  const hex = BigInt.asUintN(64, digest).toString(16).padStart(16, "0");
  console.log(`table ${table} digest ${hex} min ${times[0].toFixed(4)} median ${middle.toFixed(4)} bytes ${bytes.length}`);
}
