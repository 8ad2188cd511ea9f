/* Verifies one record as evidence/FORMAT.md says: envelope, entry, inclusion, checkpoint, keyrings. No page, no network.

   Invariant: every function here either shows what its name says or throws: Wrong where the evidence is not right,
   Lacking where it cannot be judged. Nothing is repaired, and nothing is taken for granted. */

export class Wrong extends Error {}
export class Lacking extends Error {}

const PAYLOAD_TYPE = "application/vnd.in-toto+json";
const KIND = /^https:\/\/guardian\.dev\/evidence\/([a-z-]+)\/v1$/;
const ORIGIN = /^guardian\/([A-Za-z0-9][A-Za-z0-9._-]{0,62})\/[0-9a-f]{8}$/;
const SPKI = "302a300506032b6570032100"; // RFC 8410: what stands before the 32 bytes of an Ed25519 key
const TEST_KEY = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="; // RFC 8032, section 7.1, test 1
const TEST_SIGNATURE = "5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc+bRr0lv18FlbviRlUUFDjnoQCw==";
const utf8 = new TextEncoder();
const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function need(condition, message) {
  if (!condition) throw new Wrong(message);
}

export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function join(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function same(a, b) {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

export function bytesOf(base64, what) {
  need(/^[A-Za-z0-9+/]*={0,2}$/.test(base64) && base64.length % 4 === 0, `${what} is not base64`);
  const raw = atob(base64);
  need(btoa(raw) === base64, `${what} is not in the one encoding of base64`);
  return Uint8Array.from(raw, (sign) => sign.charCodeAt(0));
}

export async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/* JSON with sorted keys and no white space: for values of strings, integers, lists and objects. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value !== null && typeof value === "object") {
    return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

function parsed(source, what) {
  try {
    return JSON.parse(source);
  } catch {
    throw new Wrong(`${what} is not JSON`);
  }
}

function decoded(bytes, what) {
  try {
    return text.decode(bytes);
  } catch {
    throw new Wrong(`${what} is not UTF-8`);
  }
}

/* Throws Lacking unless this browser verifies Ed25519: tried on RFC 8032's first test, whole and changed. */
export async function needCrypto() {
  const there = globalThis.crypto?.subtle;
  if (!there) {
    throw new Lacking("This page did not come over HTTPS (or from this machine), so the browser withholds its cryptography.");
  }
  const signature = bytesOf(TEST_SIGNATURE, "the test signature");
  let good = false;
  let bad = true;
  try {
    const imported = await importKey(bytesOf(TEST_KEY, "the test key"));
    good = await crypto.subtle.verify("Ed25519", imported, signature, new Uint8Array());
    bad = await crypto.subtle.verify("Ed25519", imported, signature, new Uint8Array(1));
  } catch {
    good = false;
  }
  if (!good || bad) throw new Lacking("This browser cannot verify Ed25519 signatures.");
}

async function importKey(der) {
  need(der.length === 44 && hex(der.slice(0, 12)) === SPKI, "a key is not an Ed25519 key in SPKI");
  return crypto.subtle.importKey("spki", der, "Ed25519", false, ["verify"]);
}

/* Parses an envelope strictly: exactly its members, and its bytes are the one encoding. */
export function openEnvelope(bytes) {
  const source = decoded(bytes, "the envelope");
  const value = parsed(source, "the envelope");
  need(value !== null && typeof value === "object", "the envelope is not an object");
  const { payload, payloadType, signatures } = value;
  need(payloadType === PAYLOAD_TYPE, "the envelope's payload type is not that of records");
  need(Array.isArray(signatures) && signatures.length >= 1 && signatures.length <= 16, "the envelope has no signatures");
  need(signatures.every((one) => /^[0-9a-f]{64}$/.test(one?.keyid) && typeof one.sig === "string"), "a signature is malformed");
  need(signatures.every((one, at) => at === 0 || signatures[at - 1].keyid < one.keyid), "signatures are not in order");
  need(typeof payload === "string", "the envelope has no payload");
  const listed = signatures.map((one) => `{"keyid":"${one.keyid}","sig":"${one.sig}"}`).join(",");
  const encoded = `{"payload":"${payload}","payloadType":"${PAYLOAD_TYPE}","signatures":[${listed}]}`;
  need(encoded === source, "the envelope is not in its one encoding");
  const content = bytesOf(payload, "the payload");
  const statement = parsed(decoded(content, "the payload"), "the payload");
  const kind = KIND.exec(statement?.predicateType)?.[1];
  need(kind && statement._type === "https://in-toto.io/Statement/v1" && statement.predicate, "the payload is no statement");
  return {
    bytes,
    content,
    source: decoded(content, "the payload"),
    statement,
    kind,
    predicate: statement.predicate,
    signatures: signatures.map((one) => ({ keyid: one.keyid, bytes: bytesOf(one.sig, "a signature") })),
  };
}

/* DSSE's pre-authentication encoding: what every signature is over. */
function pae(content) {
  return join(utf8.encode(`DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${content.length} `), content);
}

async function holds(signature, der, message) {
  return signature.length === 64 && crypto.subtle.verify("Ed25519", await importKey(der), signature, message);
}

/* Every signature of the envelope is by one of `keys` ({id: SPKI}) and holds. Returns the key ids. */
export async function verifyEnvelope(envelope, keys) {
  for (const { keyid, bytes } of envelope.signatures) {
    const der = keys.get(keyid);
    need(der, `signed by key ${keyid.slice(0, 12)}…, which is not among the keys`);
    need(hex(await sha256(der)) === keyid, `key ${keyid.slice(0, 12)}… is not the one its name says`);
    need(await holds(bytes, der, pae(envelope.content)), `the signature by key ${keyid.slice(0, 12)}… does not hold`);
  }
  return envelope.signatures.map((one) => one.keyid);
}

/* The entry is the one that stands for this envelope. */
export async function verifyEntry(entry, envelope) {
  const expected = canonical({
    envelopeSha256: hex(await sha256(envelope.bytes)),
    kind: envelope.kind,
    recordId: envelope.predicate.recordId,
    v: 1,
  });
  need(same(entry, utf8.encode(expected)), "the entry names another digest, kind or record id than the envelope has");
}

/* The path leads from the entry, as leaf `index` of a tree of `size`, to `root`. RFC 9162, section 2.1.3.2. */
export async function verifyInclusion(entry, index, size, path, root) {
  need(Number.isSafeInteger(index) && Number.isSafeInteger(size) && index >= 0 && index < size, "the leaf is outside the tree");
  let hash = await sha256(join(Uint8Array.of(0), entry));
  let [node, last] = [index, size - 1];
  for (const step of path) {
    need(step.length === 32 && last > 0, "the path is too long, or one of its steps is no hash");
    if (node % 2 === 1 || node === last) {
      hash = await sha256(join(Uint8Array.of(1), step, hash));
      while (node % 2 === 0 && node !== 0) [node, last] = [Math.floor(node / 2), Math.floor(last / 2)];
    } else {
      hash = await sha256(join(Uint8Array.of(1), hash, step));
    }
    [node, last] = [Math.floor(node / 2), Math.floor(last / 2)];
  }
  need(last === 0, "the path is too short");
  need(same(hash, root), "the path leads to another root than the checkpoint's");
}

/* Parses a checkpoint: a signed note of exactly six lines with one signature. */
export function openCheckpoint(note) {
  const lines = note.split("\n");
  need(lines.length === 6 && lines[3] === "" && lines[5] === "", "the checkpoint does not have its six lines");
  const [origin, size, root] = lines;
  const environment = ORIGIN.exec(origin)?.[1];
  need(environment, "the checkpoint names no log");
  need(/^(0|[1-9][0-9]{0,15})$/.test(size), "the checkpoint's size is no number");
  const start = `\u2014 ${origin} `;
  need(lines[4].startsWith(start), "the checkpoint's signature is not the log's");
  const blob = bytesOf(lines[4].slice(start.length), "the checkpoint's signature");
  need(blob.length === 68, "the checkpoint's signature has another length");
  const rootHash = bytesOf(root, "the checkpoint's root");
  need(rootHash.length === 32, "the checkpoint's root is no hash");
  const body = utf8.encode(`${origin}\n${size}\n${root}\n`);
  return { origin, environment, size: Number(size), root: rootHash, body, keyHash: blob.slice(0, 4), signature: blob.slice(4) };
}

/* One of `keys` ({id: SPKI}) signed the checkpoint. Returns its id. */
export async function verifyCheckpoint(checkpoint, keys) {
  for (const [id, der] of keys) {
    need(hex(await sha256(der)) === id, `key ${id.slice(0, 12)}… is not the one its name says`);
    const named = await sha256(join(utf8.encode(`${checkpoint.origin}\n`), Uint8Array.of(1), der.slice(12)));
    if (!same(named.slice(0, 4), checkpoint.keyHash)) continue;
    need(await holds(checkpoint.signature, der, checkpoint.body), "the checkpoint's signature does not hold");
    return id;
  }
  throw new Wrong("the checkpoint is signed by a key that is not among the log's keys");
}

/* The keyrings ([{index, envelope}]) lead from one root, version by version. Returns the root's fingerprint and, for each
   version, the index from which it is in force and its keys. */
export async function verifyKeyrings(found) {
  if (!found.length) throw new Lacking("The keyrings are not among what your token may see.");
  const versions = [];
  let fingerprint = null;
  let before = null;
  for (const { index, envelope } of found) {
    const ring = envelope.predicate;
    need(envelope.kind === "keyring" && ring.version === versions.length + 1, "a version of the keyring is missing or twice");
    const digest = envelope.statement.subject?.[0]?.digest?.sha256;
    need(digest === hex(await sha256(utf8.encode(canonical(ring)))), `keyring ${ring.version} is not the one its subject names`);
    need(Array.isArray(ring.roots) && Number.isInteger(ring.threshold), `keyring ${ring.version} names no roots`);
    need(ring.threshold >= 1 && ring.threshold <= ring.roots.length, `the threshold of keyring ${ring.version} is none`);
    need(before === null || ring.origin === before.origin, "the keyrings are of different logs");
    const [own, old] = [rootsOf(ring), before ? rootsOf(before) : rootsOf(ring)];
    const signers = await verifyEnvelope(envelope, new Map([...old, ...own]));
    const threshold = (before ?? ring).threshold;
    need(signers.filter((id) => own.has(id)).length >= ring.threshold, `too few roots signed keyring ${ring.version}`);
    need(signers.filter((id) => old.has(id)).length >= threshold, `too few roots of the version before signed keyring ${ring.version}`);
    if (before === null) {
      const root = { origin: ring.origin, roots: ring.roots, threshold: ring.threshold };
      fingerprint = hex(await sha256(utf8.encode(canonical(root))));
    }
    versions.push({ index, origin: ring.origin, keys: ring.keys });
    before = ring;
  }
  return { fingerprint, versions };
}

function rootsOf(ring) {
  return new Map(ring.roots.map((root) => [root.id, bytesOf(root.public, "a root key")]));
}

/* `keyid` may sign in one of `roles` under the keyring in force at log index `index`, with this very key. */
export function needKey(rings, index, keyid, der, roles) {
  const ring = rings.versions.filter((version) => version.index <= index).at(-1);
  need(ring, "no keyring was in force when the record was appended");
  const entry = ring.keys.find((key) => key.id === keyid);
  const name = `key ${keyid.slice(0, 12)}…`;
  need(entry && roles.includes(entry.role), `${name} is not vouched for as ${roles.join(" or ")} key`);
  need(entry.revokedAt === null, `${name} was revoked`);
  need(same(bytesOf(entry.public, "a key"), der), `${name} is another key in the keyring`);
}

/* The statement as shown differs from the signed one in white space between tokens at most. */
export function verifyShown(shown, envelope) {
  need(withoutSpace(shown) === plain(envelope.source), "the statement shown is not the one that was signed");
}

function withoutSpace(source) {
  return source.replace(/"(?:[^"\\]|\\.)*"|\s+/g, (token) => (token[0] === '"' ? token : ""));
}

/* As guardian/reports/words.py shows text of others: what moves a cursor or hides is spelled out, as JSON would. */
function plain(source) {
  const unsafe = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
  return source.replace(unsafe, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
