// Reads one message after the other with Node's own reader, llhttp, and says what it read.
//
// In: four bytes of length, one of kind (q: a request, r: a response to a GET, h: to a HEAD), the message. Out: a line of JSON,
// in which a character is a byte.
'use strict';
const http = require('node:http');
const { Duplex } = require('node:stream');

const settings = { maxHeaderSize: 1 << 20, insecureHTTPParser: false, requireHostHeader: false };
const server = http.createServer(settings, heard);
server.maxHeadersCount = 0;
server.timeout = server.keepAliveTimeout = server.headersTimeout = server.requestTimeout = 0;
for (const event of ['checkContinue', 'checkExpectation', 'connect']) server.on(event, heard);
server.on('clientError', (error, socket) => { socket.said.error ??= error.code ?? String(error); });

function pairs(raw) {
  const lines = [];
  for (let at = 0; at < raw.length; at += 2) lines.push([raw[at].toLowerCase(), raw[at + 1]]);
  return lines;
}

// Of several messages the first is asked for.
function heard(message) {
  const socket = message.socket;
  if (socket.said.message) return;
  socket.said.message = message;
  message.on('data', (piece) => socket.said.body.push(piece));
  message.on('error', () => {});
}

function connection() {
  const socket = new Duplex({ read() {}, write(piece, encoding, done) { done(); }, allowHalfOpen: true });
  socket.said = { interim: 0, message: null, body: [], error: null };
  socket.setTimeout = socket.setNoDelay = socket.setKeepAlive = socket.ref = socket.unref = () => socket;
  socket.on('error', () => {});
  return socket;
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

async function read(kind, bytes) {
  const socket = connection();
  let request = null;
  if (kind === 'q') {
    server.emit('connection', socket);
  } else {
    request = http.request({
      ...settings, method: kind === 'h' ? 'HEAD' : 'GET', createConnection: () => socket,
    });
    request.maxHeadersCount = 0;
    request.on('error', (error) => { socket.said.error ??= error.code ?? String(error); });
    request.on('information', () => { socket.said.interim += 1; });
    request.on('response', heard);
    request.end();
    await turn();
  }
  const said = socket.said;
  const is_complete = () => said.message !== null && said.message.complete;
  let ended = 'never';
  for (const [when, piece] of [['early', bytes.subarray(0, -1)], ['last', bytes.subarray(-1)], ['close', null]]) {
    if (piece === null || piece.length > 0) socket.push(piece);
    await turn();
    if (is_complete()) {
      ended = when;
      break;
    }
    if (said.error) break;
  }
  // What it has read is given out in turns.
  for (let turns = 0; turns < 3 && said.message && !said.message.readableEnded && ended !== 'never'; turns++) await turn();
  const { message, interim, error } = said;
  const start = message && (kind === 'q'
    ? [message.method, message.url, message.httpVersion]
    : [String(message.statusCode), message.httpVersion]);
  const answer = {
    start,
    fields: message ? pairs(message.rawHeaders) : [],
    body: Buffer.concat(said.body).toString('latin1'),
    trailers: message ? pairs(message.rawTrailers) : [],
    interim,
    ended,
    error: ended === 'never' ? error : null,
  };
  request?.destroy();
  socket.destroy();
  return JSON.stringify(answer);
}

async function main() {
  let waiting = Buffer.alloc(0);
  for await (const piece of process.stdin) {
    waiting = Buffer.concat([waiting, piece]);
    while (waiting.length >= 5) {
      const length = waiting.readUInt32BE(0);
      if (waiting.length < 5 + length) break;
      const kind = String.fromCharCode(waiting[4]);
      const answer = await read(kind, waiting.subarray(5, 5 + length));
      waiting = waiting.subarray(5 + length);
      process.stdout.write(answer + '\n');
    }
  }
}

main();
