// Keeps a real SDK on this machine, and writes down what it sends: loopback.py for Node.js, with the same task on stdin
// and the same report on stdout. Every TLS connection goes to a recorder here, whose certificate is of the test's CA
// (NODE_EXTRA_CA_CERTS); the clock stands still.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import tls from 'node:tls';

async function read(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

// Requests whose path contains one of these are answered with its document and not written down.
export const aside = {};

// Answers what the test says, one answer for each request; the last one for those that come after.
function record(answers, requests) {
  return async (request, response) => {
    const body = await read(request);
    const { method, headers, url } = request;
    const part = Object.keys(aside).find((part) => url.includes(part));
    if (part) {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(aside[part]));
      return;
    }
    requests.push({ method, url: `https://${headers.host}${url}`, headers, body });
    const told = answers[Math.min(requests.length, answers.length) - 1] ?? { status: 200, body: {} };
    const text = typeof told.body === 'string' ? told.body : JSON.stringify(told.body);
    response.writeHead(told.status ?? 200, { 'content-type': 'application/json', ...told.headers });
    response.end(text);
  };
}

async function stayHere({ certificate, key, answers }, requests) {
  const server = createServer(
    { cert: readFileSync(certificate), key: readFileSync(key) },
    record(answers, requests),
  );
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const connect = tls.connect;
  tls.connect = (options, ...more) =>
    connect({ ...options, host: '127.0.0.1', port: server.address().port }, ...more);
}

export async function drive(byPreset) {
  const task = JSON.parse(await read(process.stdin));
  const report = { requests: [], result: null, error: null };
  await stayHere(task, report.requests);
  Date.now = () => task.now * 1000;
  // What an SDK says of itself is not ours to read.
  console.log = console.info = console.warn = console.error;
  try {
    report.result = (await byPreset[task.preset](task.values)) ?? null;
  } catch (error) {
    // It may have sent what is wanted, and not like the answer.
    report.error = String(error.stack);
  }
  process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
}
