/* Verifies the record on this page from the very texts that the page shows, and says how each step ended.

   Invariant: a step says that it holds only after it was checked here; what could not be checked is never shown as good. */

import {
  Lacking, bytesOf, hex, needCrypto, needKey, openCheckpoint, openEnvelope, sha256, verifyCheckpoint, verifyEntry,
  verifyEnvelope, verifyInclusion, verifyKeyrings, verifyShown,
} from "./proof.js";

const STATES = { pass: "holds", fail: "does not hold", error: "cannot be checked", waiting: "not checked", ask: "up to you" };
const BADGES = { pass: "pass", fail: "fail", error: "error", waiting: "skip", ask: "skip" };
const results = new Map();

function parts(name) {
  return Array.from(document.querySelectorAll(`[data-proof="${name}"]`));
}

function shown(name) {
  const [found] = parts(name);
  if (!found) throw new Lacking(`The server sent no ${name}.`);
  return found.textContent;
}

function set(step, state, told) {
  results.set(step, state);
  const item = document.getElementById(`step-${step}`);
  item.dataset.state = state;
  item.querySelector(".state-word").textContent = STATES[state];
  const said = item.querySelector(".told");
  said.textContent = told;
  said.hidden = !told;
}

async function run(step, check) {
  try {
    const told = await check();
    set(step, "pass", told ?? "");
    return true;
  } catch (error) {
    set(step, error instanceof Lacking ? "error" : "fail", sentence(error.message));
    return false;
  }
}

function sentence(message) {
  return message.charAt(0).toUpperCase() + message.slice(1) + (/[.!?]$/.test(message) ? "" : ".");
}

function keysOf(role) {
  const found = parts(`${role}-key`);
  if (!found.length) throw new Lacking(`The server sent no ${role} keys.`);
  return new Map(found.map((one) => [one.dataset.id, bytesOf(one.textContent.trim(), "a key")]));
}

function number(name) {
  return Number(shown(name).trim());
}

function summarise() {
  const states = Array.from(results.values());
  const verdict = states.includes("fail") ? "fail" : states.includes("error") ? "error" : states.includes("waiting") ? "waiting" : "pass";
  const rooted = results.get("root") === "pass";
  const said = {
    pass: rooted
      ? ["VERIFIED", "Every step holds, and the keys lead to the root that you know."]
      : ["CHECKS HOLD", "Every step that this browser can check alone holds. The keys came from this server: compare the root's fingerprint in the last step."],
    fail: ["NOT VERIFIED", "This record does not verify. Do not rely on it; the step that does not hold says why."],
    error: ["NOT ALL CHECKED", "Not every step could be checked, so this is no proof. The step says why."],
    waiting: ["CHECKING", "Checking …"],
  }[verdict];
  document.getElementById("verify").dataset.state = verdict;
  for (const badge of document.querySelectorAll('[data-verify="badge"]')) {
    badge.className = `badge ${BADGES[verdict]}`;
    badge.textContent = said[0];
  }
  document.getElementById("verify-text").textContent = said[1];
}

async function verify() {
  const envelope = openEnvelopeOnce();
  await run("signature", async () => {
    const keyids = await verifyEnvelope(envelope(), keysOf("record"));
    return `Signed by key ${keyids.join(", ")}.`;
  });
  await run("statement", () => verifyShown(shown("statement"), envelope()));
  await run("entry", () => verifyEntry(bytesOf(shown("entry"), "the entry"), envelope()));
  await run("inclusion", async () => {
    const checkpoint = openCheckpoint(shown("checkpoint"));
    const [index, size] = [number("leaf-index"), number("tree-size")];
    if (size !== checkpoint.size) throw new Error("the path is for a tree of another size than the checkpoint's");
    const path = parts("hash").map((one) => bytesOf(one.textContent.trim(), "a step of the path"));
    await verifyInclusion(bytesOf(shown("entry"), "the entry"), index, size, path, checkpoint.root);
    const beacon = envelope().predicate.beacon;
    if (beacon && (beacon.origin !== checkpoint.origin || beacon.size > index)) {
      throw new Error("the record says that it began after a checkpoint that cannot have been there");
    }
    return `Record ${index} of ${size}, by ${path.length} hashes.`;
  });
  await run("checkpoint", async () => {
    const checkpoint = openCheckpoint(shown("checkpoint"));
    const keyid = await verifyCheckpoint(checkpoint, keysOf("log"));
    if (envelope().predicate.environment !== checkpoint.environment) {
      throw new Error("the record is of another environment than the log");
    }
    return `${checkpoint.origin}, ${checkpoint.size} records, signed by key ${keyid}.`;
  });
  let fingerprint = null;
  await run("keys", async () => {
    const found = parts("keyring").map((one) => {
      const bytes = new TextEncoder().encode(one.textContent);
      return { index: Number(one.dataset.index), envelope: openEnvelope(bytes) };
    });
    const rings = await verifyKeyrings(found);
    const checkpoint = openCheckpoint(shown("checkpoint"));
    const [records, logs, index] = [keysOf("record"), keysOf("log"), number("leaf-index")];
    if (rings.versions[0].origin !== checkpoint.origin) throw new Error("the keyrings are of another log");
    const signers = envelope().signatures.map((one) => one.keyid);
    for (const keyid of signers) needKey(rings, index, keyid, records.get(keyid), ["record", "approver"]);
    const keyid = await verifyCheckpoint(checkpoint, logs);
    needKey(rings, checkpoint.size - 1, keyid, logs.get(keyid), ["log"]);
    fingerprint = rings.fingerprint;
    return `Version ${rings.versions.length} of the keyring is the newest that this server sent.`;
  });
  if (fingerprint === null) {
    set("root", "error", "There is no root to compare, since the step above does not hold.");
  } else {
    set("root", "ask", `This server's root has the fingerprint ${fingerprint}.`);
    ask(fingerprint);
  }
  summarise();
}

function openEnvelopeOnce() {
  let found = null;
  return () => (found ??= openEnvelope(bytesOf(shown("envelope"), "the envelope")));
}

function ask(fingerprint) {
  const form = document.getElementById("root-form");
  const given = document.getElementById("root-given");
  const file = document.getElementById("root-file");
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    compare(fingerprint, given.value.trim().toLowerCase().split(/\s+/)[0] ?? "");
  });
  file.addEventListener("change", async () => {
    const [chosen] = file.files;
    if (!chosen) return;
    let bytes = new Uint8Array(await chosen.slice(0, 1 << 20).arrayBuffer());
    if (bytes.at(-1) === 10) bytes = bytes.slice(0, -1); // one newline may follow
    given.value = hex(await sha256(bytes));
    compare(fingerprint, given.value);
  });
}

function compare(fingerprint, given) {
  if (!/^[0-9a-f]{64}$/.test(given)) {
    set("root", "ask", `A fingerprint has 64 digits of 0 to 9 and a to f. This server's root has ${fingerprint}.`);
  } else if (given === fingerprint) {
    set("root", "pass", `Both are ${fingerprint}.`);
  } else {
    set("root", "fail", `This server's root has ${fingerprint}, and yours ${given}.`);
  }
  summarise();
}

async function start() {
  const steps = Array.from(document.querySelectorAll(".step"), (item) => item.id.replace("step-", ""));
  for (const step of steps) set(step, "waiting", "");
  summarise();
  try {
    await needCrypto();
  } catch (error) {
    for (const step of steps) set(step, "error", "");
    summarise();
    document.getElementById("verify-text").textContent =
      `Nothing could be checked here, so nothing is proved. ${error.message} Use guardian verify on a pack instead.`;
    return;
  }
  await verify();
}

start();
